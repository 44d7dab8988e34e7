//! The relay to the real IMDS, for requests that are not token requests, under a policy (IMDS R14, R15).

mod body;
mod connect;
mod headers;
mod in_flight;
mod places;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::path::{canonical, names_other_identity};
use contract::value::RelayKey;
pub use contract::value::RelayPolicy as Policy;
use contract::{container, variable};
use http::header::{self, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nix::unistd::geteuid;
use service_kit::listener::{RequestBody, is_slow};
use service_kit::log_rate::{Line, LogRate};
use thiserror::Error;
use tokio::time::timeout;
use tracing::{debug, error};

pub use self::body::{Body, BodyError};
use self::in_flight::InFlight;
use self::places::Places;

/// The settings of the relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of the real IMDS.
    pub imds: SocketAddr,
    /// The key with which connections are announced to the rules of proxy-init; without it they are
    /// exempt by their user alone.
    pub key: Option<RelayKey>,
    /// Which paths are relayed.
    pub policy: Policy,
}

/// The relay.
#[derive(Clone, Debug)]
pub struct Relay {
    failures: Arc<LogRate>,
    imds: SocketAddr,
    in_flight: InFlight,
    key: Option<RelayKey>,
    places: Places,
    policy: Policy,
    /// Whether [`RelayError::CameBack`] was logged as an error.
    reported: Arc<AtomicBool>,
}

/// Why a request was not relayed. Each message is sent to the application.
#[derive(Debug, Error)]
pub enum RelayError {
    /// As many requests are relayed as may be, and this one has waited longest.
    #[error("too many requests to the instance metadata service are under way: try again")]
    Busy,
    /// proxy-init exempts a user from the redirect, and the proxy is not that user.
    #[error(
        "the proxy's own request to the instance metadata service came back to it: it runs as user \
         {uid}, and {init} exempts user {exempt} unless its {PROXY_UID} says otherwise, and with {KEY} \
         only a proxy with the same key. Set runAsUser: {exempt} for the proxy's container and the same \
         {KEY} for both, or {RELAY}=deny for both containers",
        init = container::PROXY_INIT,
        exempt = container::PROXY_UID,
        PROXY_UID = variable::PROXY_UID,
        KEY = variable::RELAY_KEY,
        RELAY = variable::RELAY
    )]
    CameBack {
        /// The user that the proxy runs as.
        uid: u32,
    },
    /// No connection to IMDS.
    #[error("the instance metadata service at {imds} cannot be reached: {source}")]
    Connect {
        /// The address of IMDS.
        imds: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// IMDS ended the connection, or its answer is not HTTP.
    #[error("the instance metadata service closed the connection without a valid answer: {0}")]
    Http(hyper::Error),
    /// The policy does not allow the path.
    #[error("the relay policy does not allow this path")]
    NotAllowed,
    /// In a pod that has only IPv6, proxy-init adds the address of IMDS to `lo`, where a program of the
    /// pod may listen.
    #[error(
        "the instance metadata service cannot be reached: its address {} is this pod's own, which \
         has no route to another network over IPv4",
        imds.ip()
    )]
    OwnAddress {
        /// The address of IMDS.
        imds: SocketAddr,
    },
    /// The path gives the machine's identity in another cloud than Azure.
    #[error(
        "this path gives the node's identity in another cloud, which pods do not get. To relay it, \
         name it in the policy of the workload identity proxy (--relay)"
    )]
    OtherIdentity,
    /// The client sends the request's body too slowly.
    #[error("the body of the request arrives too slowly")]
    SlowBody,
    /// No connection, or no answer, in time.
    #[error("the instance metadata service at {imds} does not answer")]
    Silent {
        /// The address of IMDS.
        imds: SocketAddr,
    },
}

impl From<hyper::Error> for RelayError {
    fn from(error: hyper::Error) -> Self {
        if is_slow(&error) {
            Self::SlowBody
        } else {
            Self::Http(error)
        }
    }
}

impl Relay {
    /// A relay under `config` of at most `places` requests at once, so that token requests find a
    /// connection while IMDS hangs. At this number, the one that has waited longest makes way for a new one.
    #[must_use]
    pub fn new(config: Config, places: usize) -> Self {
        Self {
            failures: Arc::default(),
            imds: config.imds,
            in_flight: InFlight::default(),
            key: config.key,
            places: Places::new(places),
            policy: config.policy,
            reported: Arc::default(),
        }
    }

    /// Passes on a request of `client`, and the answer, unchanged and as a stream. The caller
    /// makes sure that the path is not the node's identity (law 1).
    ///
    /// # Errors
    ///
    /// The policy does not allow the path, IMDS cannot be reached, the request is the relay's own, or it has
    /// made way for newer ones.
    pub async fn forward(
        &self,
        request: Request<RequestBody>,
        client: SocketAddr,
    ) -> Result<Response<Body>, RelayError> {
        if self.in_flight.contains(client) {
            return Err(self.came_back());
        }
        let path = request.uri().path();
        if !self.policy.allows(path) {
            let is_identity = canonical(path).is_some_and(|path| names_other_identity(&path));
            return Err(match self.policy {
                Policy::Deny => RelayError::NotAllowed,
                _ if is_identity => RelayError::OtherIdentity,
                _ => RelayError::NotAllowed,
            });
        }
        self.sent(request).await.inspect_err(|error| {
            if let Some(Line { suppressed }) = self.failures.line() {
                debug!(%error, suppressed, "not relayed");
            }
        })
    }

    /// Sends it in a place of its own.
    async fn sent(&self, request: Request<RequestBody>) -> Result<Response<Body>, RelayError> {
        let place = self.places.take();
        let permit = place.permit().await.ok_or(RelayError::Busy)?;
        let response = tokio::select! {
            biased;
            () = place.made_way() => return Err(RelayError::Busy),
            sent = self.send(request) => sent?,
        };
        let (head, body) = response.into_parts();
        let body = Body::new(body, place, permit).ok_or(RelayError::Busy)?;
        Ok(Response::from_parts(head, body))
    }

    /// Ends a loop in which the request would be relayed to the proxy until no connection is left.
    fn came_back(&self) -> RelayError {
        let error = RelayError::CameBack {
            uid: geteuid().as_raw(),
        };
        if self.reported.swap(true, Ordering::Relaxed) {
            debug!("{error}");
        } else {
            error!("{error}");
        }
        error
    }

    async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, RelayError> {
        let connected = timeout(CONNECT, connect::connect(self.imds, self.key)).await;
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
            // The reader of the answer gets the error too.
            let _ = connection.await;
            drop(flight);
        });
        let answered = timeout(ANSWER, sender.send_request(onward(request))).await;
        let mut response = answered.map_err(|_| RelayError::Silent { imds: self.imds })??;
        headers::remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

/// The request for IMDS: the target as received, the `Host` that IMDS expects, and no header that is
/// hop-by-hop or names another path. No header is added: IMDS refuses forwarded requests.
fn onward(request: Request<RequestBody>) -> Request<RequestBody> {
    let (mut parts, body) = request.into_parts();
    if let Some(target) = parts.uri.path_and_query() {
        parts.uri = Uri::from(target.clone());
    }
    headers::remove_hop_by_hop(&mut parts.headers);
    headers::remove_other_paths(&mut parts.headers);
    parts.headers.remove(header::EXPECT);
    parts.headers.insert(header::HOST, HOST);
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    Request::from_parts(parts, body)
}

const HOST: HeaderValue = HeaderValue::from_static("169.254.169.254");

/// Outside Azure nothing answers at the address, and clients wait three seconds at most.
const CONNECT: Duration = Duration::from_millis(800);

/// The first call for scheduled events may take two minutes.
const ANSWER: Duration = Duration::from_secs(180);
