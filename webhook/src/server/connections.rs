//! Accepts connections and serves HTTP/1.1 on them, with limits that hold for every client.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::phase::{Phase, reached};

const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection may rest between two requests for longer than an API server lets it (90 s), so that
/// it is never we who close one that is about to be used. hyper counts the request's headers in.
const IDLE_AND_HEADERS: Duration = Duration::from_secs(120);
/// Then the client is asked to come again, so that load spreads over replicas.
const MAX_AGE: Duration = Duration::from_secs(300);
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
const FINISHING: Duration = Duration::from_secs(10);

/// A listener and what is served on it.
pub struct Server {
    /// The socket.
    pub listener: TcpListener,
    /// Answers the requests.
    pub router: Router,
    /// How many connections are open at most. More wait in the kernel's queue.
    pub max_connections: u32,
    /// TLS, or none.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// Serves until the phase is closed and the requests under way are answered.
    pub async fn run(self, phase: watch::Receiver<Phase>) {
        let permits = Arc::new(Semaphore::new(self.max_connections as usize));
        let acceptor = self.tls.map(TlsAcceptor::from);
        let mut closed = phase.clone();
        let mut closed = pin!(reached(&mut closed, Phase::Closed));
        loop {
            let accepting = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, accept(&self.listener).await)
            };
            let (permit, (stream, client)) = tokio::select! {
                () = &mut closed => break,
                accepted = accepting => accepted,
            };
            let connection = Connection {
                client,
                phase: phase.clone(),
                router: self.router.clone(),
            };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                connection.serve(stream, acceptor).await;
                drop(permit);
            });
        }
        drop(self.listener);
        // All permits are back when all connections are closed.
        let _ = timeout(FINISHING, permits.acquire_many(self.max_connections)).await;
    }
}

/// Binds an address in Go's form, `:9443` or `host:port`. Without a host it listens on all
/// addresses of both families, as far as the machine has them.
///
/// # Errors
///
/// When the address is malformed or taken.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await;
    };
    let port = port
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await
        }
        bound => bound,
    }
}

/// The next connection. Errors of one that is gone already are passed over; for the others (no file
/// descriptors are left, mostly) it waits, since trying at once would only burn the processor.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!("cannot accept connections, waiting a second: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Connection {
    client: SocketAddr,
    phase: watch::Receiver<Phase>,
    router: Router,
}

impl Connection {
    async fn serve(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        let client = self.client;
        // Answers are one write each: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else {
            return self.speak(stream).await;
        };
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%client, "TLS handshake failed: {error}"),
            Err(_) => tracing::debug!(%client, "TLS handshake not finished in time"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            client,
            mut phase,
            router,
        } = self;
        // Connections made in one moment do not end in one moment.
        let max_age = MAX_AGE + Duration::from_secs(u64::from(client.port() % 60));
        let since = Instant::now();
        let current = phase.clone();
        let router = TowerToHyperService::new(router);
        let service = service_fn(|request| {
            let answer = router.call(request);
            let leave = *current.borrow() > Phase::Serving || since.elapsed() > max_age;
            async move {
                let mut response = answer.await?;
                if leave {
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_AND_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
        );
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = reached(&mut phase, Phase::Closed) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%client, "connection ended: {error}");
        }
    }
}
