//! Everything that is not a token goes to the real IMDS, by policy (IMDS R14, R15).

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::imds::{Answer, Refusal, canonical};

/// Which paths are relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// All but the node's identity.
    Allow,
    /// None.
    Deny,
    /// Those under one of these paths, in canonical spelling.
    Only(Vec<String>),
}

/// A policy that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is no relay policy: use allow, deny, or paths that begin with / split by commas, such as \
     /metadata/instance,/metadata/scheduledevents"
)]
pub struct PolicyError(String);

/// The way to the real IMDS.
#[derive(Clone, Debug)]
pub struct Relay {
    imds: SocketAddr,
    policy: Policy,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            paths => paths
                .split(',')
                .map(|path| canonical(path.trim()))
                .collect::<Option<_>>()
                .map(Self::Only)
                .ok_or_else(|| PolicyError(text.to_owned())),
        }
    }
}

impl Policy {
    /// Whether a path may be relayed. It is not asked for the node's identity, which never is.
    pub fn lets_through(&self, path: &str) -> bool {
        match self {
            Self::Allow => true,
            Self::Deny => false,
            Self::Only(allowed) => canonical(path).is_some_and(|path| {
                allowed.iter().any(|allowed| {
                    path.strip_prefix(allowed.trim_end_matches('/'))
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            }),
        }
    }
}

impl Relay {
    /// A relay to `imds` under `policy`.
    pub fn new(imds: SocketAddr, policy: Policy) -> Self {
        Self { imds, policy }
    }

    /// Passes a request on and the answer back, both as they are and as they come. The caller has
    /// made sure that the path is not the node's identity.
    ///
    /// # Errors
    /// The policy is against it, or IMDS cannot be reached.
    pub async fn forward(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Answer> {
        if !self.policy.lets_through(request.uri().path()) {
            return Err(Refusal::NotRelayed.answer());
        }
        self.send(request).await.map_err(|error| {
            debug!(%error, "not relayed");
            Answer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                &error.to_string(),
            )
        })
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
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Whoever reads the answer sees the error too.
            let _ = connection.await;
        });
        let answered = timeout(ANSWER, sender.send_request(onward(request))).await;
        let mut response = answered.map_err(|_| RelayError::Silent { imds: self.imds })??;
        remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

#[derive(Debug, Error)]
enum RelayError {
    #[error("the instance metadata service at {imds} cannot be reached: {source}")]
    Connect {
        imds: SocketAddr,
        source: std::io::Error,
    },
    #[error("the instance metadata service broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("the instance metadata service at {imds} does not answer")]
    Silent { imds: SocketAddr },
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
    fn a_list_lets_through_what_is_under_it() {
        let policy: Policy = "/metadata/instance, /metadata/scheduledevents/"
            .parse()
            .unwrap();
        for path in [
            "/metadata/instance",
            "/metadata/instance/compute",
            "/Metadata/instance?",
            "/metadata/%69nstance/x",
            "/metadata/scheduledevents",
        ] {
            assert!(policy.lets_through(path), "{path}");
        }
        for path in [
            "/",
            "/metadata",
            "/metadata/instances",
            "/metadata/attested/document",
        ] {
            assert!(!policy.lets_through(path), "{path}");
        }
    }

    #[test]
    fn policies_are_read() {
        assert_eq!("allow".parse(), Ok(Policy::Allow));
        assert_eq!("deny".parse(), Ok(Policy::Deny));
        for text in ["", "Allow", "metadata/instance", "/a,,/b", "/a,b"] {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }

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
