//! The relay to the real IMDS, for requests that are not token requests, under a policy (IMDS R14, R15).

mod connect;
mod in_flight;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::value::RelayKey;
pub use contract::value::RelayPolicy as Policy;
use contract::{container, variable};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nix::unistd::geteuid;
use service_kit::listener::{RequestBody, is_slow};
use thiserror::Error;
use tokio::time::timeout;
use tracing::{debug, error};

use self::in_flight::InFlight;

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
    imds: SocketAddr,
    in_flight: InFlight,
    key: Option<RelayKey>,
    policy: Policy,
    /// Whether [`RelayError::CameBack`] was logged as an error.
    reported: Arc<AtomicBool>,
}

/// Why a request was not relayed. Each message is sent to the application.
#[derive(Debug, Error)]
pub enum RelayError {
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
    /// A relay under `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            imds: config.imds,
            in_flight: InFlight::default(),
            key: config.key,
            policy: config.policy,
            reported: Arc::default(),
        }
    }

    /// Passes on a request of `client`, and the answer, unchanged and as a stream. The caller
    /// makes sure that the path is not the node's identity (law 1).
    ///
    /// # Errors
    ///
    /// The policy does not allow the path, IMDS cannot be reached, or the request is the relay's own.
    pub async fn forward(
        &self,
        request: Request<RequestBody>,
        client: SocketAddr,
    ) -> Result<Response<Incoming>, RelayError> {
        if self.in_flight.contains(client) {
            return Err(self.came_back());
        }
        if !self.policy.allows(request.uri().path()) {
            return Err(RelayError::NotAllowed);
        }
        self.send(request)
            .await
            .inspect_err(|error| debug!(%error, "not relayed"))
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
        remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

/// The request for IMDS: the target as received, the `Host` that IMDS expects, and no hop-by-hop
/// header. No header is added: IMDS refuses forwarded requests.
fn onward(request: Request<RequestBody>) -> Request<RequestBody> {
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

/// Removes the headers of RFC 9110, section 7.6.1.
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

/// Outside Azure nothing answers at the address, and clients wait three seconds at most.
const CONNECT: Duration = Duration::from_millis(800);

/// The first call for scheduled events may take two minutes.
const ANSWER: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_hop_by_hop_headers() {
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
