//! A token endpoint that replies by a script and keeps the requests. It is used beside the emulator
//! (`crate::azure`), which validates each assertion, so that a test can reply with any bytes, delay
//! or certificate.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use testkit::certificate::Authority;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// A token request.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) form: HashMap<String, String>,
    pub(crate) body: String,
}

/// The reply to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        retry_after: Option<&'static str>,
        body: String,
    },
    /// This response.
    Whole(Response<Bytes>),
    /// Close the connection.
    Close,
    /// Never answer.
    Hang,
}

type Script = dyn Fn(usize, &TokenRequest) -> Reply + Send + Sync;

/// The endpoint. It ends with the runtime of its test.
pub(crate) struct Entra {
    pub(crate) address: SocketAddr,
    /// The certificate authority, in PEM form.
    pub(crate) ca: String,
    /// TLS connections so far.
    pub(crate) connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<TokenRequest>>>,
    authority: Authority,
    count: watch::Receiver<usize>,
    delay: Arc<Mutex<Duration>>,
    script: Arc<Mutex<Arc<Script>>>,
    tls: Arc<Mutex<TlsAcceptor>>,
}

impl Entra {
    /// An endpoint for `name` that grants tokens of an hour.
    pub(crate) async fn start(name: &str) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), name)
    }

    /// The same, on a listener of the caller.
    pub(crate) fn on(listener: TcpListener, name: &str) -> Self {
        let authority = authority();
        let tls = Arc::new(Mutex::new(acceptor(&authority, name, 0..1)));
        let address = listener.local_addr().unwrap();
        let (counter, count) = watch::channel(0);
        let script: Arc<Script> = Arc::new(|nth, _| token(&format!("token-{nth}"), 3600));
        let entra = Self {
            address,
            ca: authority.certificate().to_owned(),
            connections: Arc::default(),
            requests: Arc::default(),
            authority,
            count,
            delay: Arc::default(),
            script: Arc::new(Mutex::new(script)),
            tls: Arc::clone(&tls),
        };
        let endpoint = Endpoint {
            requests: Arc::clone(&entra.requests),
            counter: Arc::new(counter),
            delay: Arc::clone(&entra.delay),
            script: Arc::clone(&entra.script),
        };
        let connections = Arc::clone(&entra.connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tls = tls.lock().unwrap().clone();
                tokio::spawn(serve(stream, tls, endpoint.clone(), connections.clone()));
            }
        });
        entra
    }

    /// Answers by `script` from now on, which gets the number of the request, from 0.
    pub(crate) fn answer(
        &self,
        script: impl Fn(usize, &TokenRequest) -> Reply + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Presents new connections a certificate of the same authority for `name`, valid in these days
    /// from now.
    pub(crate) fn present(&self, name: &str, days: Range<i64>) {
        *self.tls.lock().unwrap() = acceptor(&self.authority, name, days);
    }

    /// Lets each answer take this long.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// The token requests so far.
    pub(crate) fn requests(&self) -> Vec<TokenRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until there were `count` token requests.
    pub(crate) async fn until_requests(&self, count: usize) {
        let mut seen = self.count.clone();
        seen.wait_for(|seen| *seen >= count).await.unwrap();
    }
}

/// A granted token.
pub(crate) fn token(access_token: &str, expires_in: u64) -> Reply {
    Reply::Answer {
        status: 200,
        retry_after: None,
        body: format!(
            r#"{{"token_type":"Bearer","expires_in":{expires_in},"ext_expires_in":{expires_in},"access_token":"{access_token}"}}"#
        ),
    }
}

/// An error in Entra's format.
pub(crate) fn aadsts(status: u16, error: &str, code: u32) -> Reply {
    Reply::Answer {
        status,
        retry_after: None,
        body: format!(
            r#"{{"error":"{error}","error_description":"AADSTS{code}: text of Entra.\r\nTrace ID: t-{code}","error_codes":[{code}],"trace_id":"t-{code}","correlation_id":"c-{code}"}}"#
        ),
    }
}

/// Any other answer.
pub(crate) fn answer(status: u16, retry_after: Option<&'static str>, body: &str) -> Reply {
    Reply::Answer {
        status,
        retry_after,
        body: body.to_owned(),
    }
}

#[derive(Clone)]
struct Endpoint {
    requests: Arc<Mutex<Vec<TokenRequest>>>,
    counter: Arc<watch::Sender<usize>>,
    delay: Arc<Mutex<Duration>>,
    script: Arc<Mutex<Arc<Script>>>,
}

impl Endpoint {
    async fn reply(&self, request: Request<Incoming>) -> Reply {
        // The sidecar opens its connection with this.
        if request.method() == Method::HEAD {
            return answer(404, None, "");
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let request = TokenRequest {
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            form: form_urlencoded::parse(&body).into_owned().collect(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        let nth = {
            let mut all = self.requests.lock().unwrap();
            all.push(request.clone());
            all.len() - 1
        };
        self.counter.send_replace(nth + 1);
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let script = Arc::clone(&self.script.lock().unwrap());
        script(nth, &request)
    }
}

async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    endpoint: Endpoint,
    connections: Arc<AtomicUsize>,
) {
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    connections.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(|request| {
        let endpoint = endpoint.clone();
        async move {
            match endpoint.reply(request).await {
                Reply::Answer {
                    status,
                    retry_after,
                    body,
                } => {
                    let mut response = Response::builder().status(status);
                    if let Some(seconds) = retry_after {
                        response = response.header("retry-after", seconds);
                    }
                    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
                }
                Reply::Whole(response) => Ok(response.map(Full::new)),
                Reply::Close => Err(std::io::Error::other("the script closes")),
                Reply::Hang => std::future::pending().await,
            }
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The certificate of an authority that has signed nothing here, in PEM form.
pub(crate) fn untrusted_authority() -> String {
    authority().certificate().to_owned()
}

/// An authority. Its name is its own, so that a client distinguishes two of them by name already.
fn authority() -> Authority {
    Authority::new(&uuid::Uuid::new_v4().to_string()).unwrap()
}

/// A server with a certificate for `name` that is valid in these days from now.
fn acceptor(authority: &Authority, name: &str, days: Range<i64>) -> TlsAcceptor {
    let certificate = authority.server_valid_in(name, &[name], days).unwrap();
    TlsAcceptor::from(certificate.server_config().unwrap())
}
