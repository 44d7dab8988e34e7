//! Ordinary clients: each is served within a minute, whatever else goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;
use testkit::poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::answer::{Answer, End, check};
use crate::attack::Target;
use crate::review;

/// An ordinary client.
#[derive(Clone)]
pub enum Client {
    /// An SDK that asks the proxy for a token.
    Sdk(SocketAddr),
    /// An API server that has a pod reviewed.
    ApiServer(Target, Arc<ClientConfig>),
    /// The kubelet that asks whether the webhook is ready.
    Kubelet(SocketAddr),
}

impl Client {
    /// Asks again and again until `deadline`, over a new connection each time, and returns the longest time
    /// that an answer took.
    ///
    /// # Errors
    ///
    /// When there is no answer within a minute, or not the right one.
    pub async fn run(self, deadline: Instant) -> Result<(&'static str, Duration), String> {
        let mut longest = Duration::ZERO;
        let mut count = 0;
        while Instant::now() < deadline {
            let asked = Instant::now();
            let answer = timeout(poll::MINUTE, self.ask(count)).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer within a minute".to_owned()));
            answer
                .and_then(|answer| self.accept(&answer))
                .map_err(|reason| format!("{}: {reason}", self.name()))?;
            longest = longest.max(asked.elapsed());
            count += 1;
            sleep(PAUSE).await;
        }
        Ok((self.name(), longest))
    }

    /// Asks until the answer is the right one, for a start.
    pub async fn until_served(&self) {
        let ask = async || {
            timeout(poll::MINUTE, self.ask(0))
                .await
                .map_err(|_| "no answer".to_owned())?
                .and_then(|it| self.accept(&it))
        };
        let served = poll::until(self.name(), ask, Result::is_ok).await;
        debug_assert!(served.is_ok());
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sdk(_) => "an ordinary token request",
            Self::ApiServer(..) => "an ordinary review",
            Self::Kubelet(_) => "a probe of readiness",
        }
    }

    async fn ask(&self, nth: usize) -> Result<Answer, String> {
        let exchanged = match self {
            Self::Sdk(address) => {
                exchange(TcpStream::connect(address).await, TOKEN_REQUEST.as_bytes()).await
            }
            Self::Kubelet(address) => {
                exchange(TcpStream::connect(address).await, PROBE.as_bytes()).await
            }
            Self::ApiServer(target, tls) => {
                let review = review::ordinary(nth % (review::PODS - 1)).to_string();
                let request = format!("{REVIEW}Content-Length: {}\r\n\r\n{review}", review.len());
                exchange(target.connect_tls(tls).await, request.as_bytes()).await
            }
        };
        let received = exchanged.map_err(|error| format!("the connection fails: {error}"))?;
        let answers = check(&received, End::Program, false)?;
        answers
            .into_iter()
            .next()
            .ok_or_else(|| "the connection ends without an answer".to_owned())
    }

    fn accept(&self, answer: &Answer) -> Result<(), String> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is_right = match self {
            Self::Sdk(_) => body["access_token"].is_string(),
            Self::ApiServer(..) => {
                body["response"]["allowed"] == true && body["response"]["patch"].is_string()
            }
            Self::Kubelet(_) => true,
        };
        if answer.status == 200 && is_right {
            return Ok(());
        }
        Err(format!(
            "is answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ))
    }
}

/// Sends a request that asks for the connection's end after the answer, and reads to it.
async fn exchange(
    stream: std::io::Result<impl AsyncRead + AsyncWrite + Unpin>,
    request: &[u8],
) -> std::io::Result<Vec<u8>> {
    let mut stream = stream?;
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut received = Vec::new();
    let ended = stream.read_to_end(&mut received).await;
    // An answer has a length: the end of the connection need not be orderly.
    if received.is_empty() {
        ended?;
    }
    Ok(received)
}

/// The time between two requests.
const PAUSE: Duration = Duration::from_millis(300);

const TOKEN_REQUEST: &str = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F HTTP/1.1\r\n\
    Host: 169.254.169.254\r\nMetadata: true\r\nConnection: close\r\n\r\n";
const PROBE: &str = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const REVIEW: &str = "POST /mutate-v1-pod?timeout=10s HTTP/1.1\r\nHost: webhook.svc\r\nContent-Type: application/json\r\n\
    Connection: close\r\n";
