//! Everything that is not a token goes to the real IMDS, by policy (IMDS R14, R15).

mod in_flight;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use contract::value::RelayPolicy as Policy;
use contract::{container, variable};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nix::unistd::geteuid;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, error};

use crate::imds::{Answer, Refusal};
use in_flight::InFlight;

/// The way to the real IMDS.
#[derive(Clone, Debug)]
pub struct Relay {
    imds: SocketAddr,
    in_flight: InFlight,
    policy: Policy,
    told: Arc<AtomicBool>,
}

impl Relay {
    /// A relay to `imds` under `policy`.
    pub fn new(imds: SocketAddr, policy: Policy) -> Self {
        Self {
            imds,
            in_flight: InFlight::default(),
            policy,
            told: Arc::default(),
        }
    }

    /// Passes a request of `peer` on and the answer back, both as they are and as they come. The
    /// caller has made sure that the path is not the node's identity.
    ///
    /// # Errors
    /// The policy is against it, IMDS cannot be reached, or the request is the relay's own.
    pub async fn forward(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Incoming>, Answer> {
        if self.in_flight.holds(peer) {
            return Err(self.came_back());
        }
        if !self.policy.lets_through(request.uri().path()) {
            return Err(Refusal::NotRelayed.answer());
        }
        self.send(request).await.map_err(|error| {
            debug!(%error, "not relayed");
            error.answer()
        })
    }

    /// Without this answer the request would be relayed to the proxy for as long as there are
    /// connections.
    fn came_back(&self) -> Answer {
        let error = RelayError::CameBack {
            uid: geteuid().as_raw(),
        };
        if self.told.swap(true, Ordering::Relaxed) {
            debug!("{error}");
        } else {
            error!("{error}");
        }
        error.answer()
    }

    async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, RelayError> {
        let connected = timeout(CONNECT, TcpStream::connect(self.imds)).await;
        let stream = match connected {
            Ok(stream) => stream.map_err(|source| RelayError::Connect {
                imds: self.imds,
                source,
            })?,
            Err(_) => return Err(RelayError::Silent { imds: self.imds }),
        };
        let local = stream.local_addr().map_err(|source| RelayError::Connect {
            imds: self.imds,
            source,
        })?;
        if local.ip() == self.imds.ip() && !local.ip().is_loopback() {
            return Err(RelayError::OwnAddress { imds: self.imds });
        }
        let flight = self.in_flight.begin(local);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Whoever reads the answer sees the error too.
            let _ = connection.await;
            drop(flight);
        });
        let answered = timeout(ANSWER, sender.send_request(onward(request))).await;
        let mut response = answered.map_err(|_| RelayError::Silent { imds: self.imds })??;
        remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

#[derive(Debug, Error)]
enum RelayError {
    /// proxy-init exempts a user from the redirect, and the proxy is not that user.
    #[error(
        "the proxy's own request to the instance metadata service came back to it: it runs as user \
         {uid}, and {init} exempts user {exempt} unless its {PROXY_UID} says otherwise. Set \
         runAsUser: {exempt} for the proxy's container, or {RELAY}=deny for both containers",
        init = container::PROXY_INIT,
        exempt = container::PROXY_UID,
        PROXY_UID = variable::PROXY_UID,
        RELAY = variable::RELAY
    )]
    CameBack { uid: u32 },
    #[error("the instance metadata service at {imds} cannot be reached: {source}")]
    Connect {
        imds: SocketAddr,
        source: std::io::Error,
    },
    #[error("the instance metadata service broke off: {0}")]
    Http(#[from] hyper::Error),
    /// In a pod with IPv6 alone proxy-init put it on `lo`. Behind the port is a program of the pod.
    #[error(
        "the instance metadata service cannot be reached: its address {} is this pod's own, which \
         has no way to another network by IPv4",
        imds.ip()
    )]
    OwnAddress { imds: SocketAddr },
    #[error("the instance metadata service at {imds} does not answer")]
    Silent { imds: SocketAddr },
}

impl RelayError {
    fn answer(&self) -> Answer {
        Answer::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            &self.to_string(),
        )
    }
}

/// The request for IMDS: the target as it came, the `Host` that IMDS knows, and nothing that
/// concerns this connection alone. No header is added: IMDS refuses forwarded requests.
fn onward(request: Request<Incoming>) -> Request<Incoming> {
    let (mut parts, body) = request.into_parts();
    if let Some(target) = parts.uri.path_and_query() {
        parts.uri = Uri::from(target.clone());
    }
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.remove(header::EXPECT);
    parts.headers.insert(header::HOST, HOST);
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    Request::from_parts(parts, body)
}

/// RFC 9110, 7.6.1.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

const HOST: HeaderValue = HeaderValue::from_static("169.254.169.254");

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Off Azure nothing answers at the address, and clients wait three seconds at most.
const CONNECT: Duration = Duration::from_millis(800);

/// The first call for scheduled events may take two minutes.
const ANSWER: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_stay_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("metadata", "true"),
            ("x-forwarded-for", "10.0.0.1"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["metadata", "x-forwarded-for"]);
    }
}
