//! What a listener serves: a service, and the protocol of its port.

use std::error::Error;
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Body;
use hyper::{Request, Response};
#[cfg(feature = "tls")]
use rustls::ServerConfig;

use super::body::RequestBody;
use super::unreadable::HeadError;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin;

    /// Answers one request of `client`.
    fn answer(
        &self,
        request: Request<RequestBody>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Answers bytes that are not a request. The connection ends after it.
    fn refuse(&self, error: HeadError) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = error.status();
        answer
    }
}

/// The protocol of a port: HTTP/1.1, perhaps over TLS.
#[derive(Clone, Debug, Default)]
pub struct Protocol {
    /// Whether a client that has closed its side of the connection still gets its answer. Otherwise
    /// its request is dropped.
    pub half_close: bool,
    /// TLS, or none.
    #[cfg(feature = "tls")]
    pub tls: Option<Arc<ServerConfig>>,
}

impl Protocol {
    /// HTTP/1.1 without TLS. `half_close` is described at the field.
    #[must_use]
    pub const fn plain(half_close: bool) -> Self {
        Self {
            half_close,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}
