//! Listening sockets: connections with and without TLS, which rules can break and tests can close.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::model::Socket;
use crate::serve::serve;
use crate::state::State;

/// The wanted and the current state of a socket.
pub(crate) struct Switch {
    pub(crate) wanted: watch::Sender<bool>,
    pub(crate) open: watch::Receiver<bool>,
}

/// A socket that is about to accept connections.
pub(crate) struct Listener {
    socket: Socket,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    wanted: watch::Receiver<bool>,
    open: watch::Sender<bool>,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    pub(crate) async fn bind(
        socket: Socket,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<(Self, Switch)> {
        let (wanted, wants) = watch::channel(true);
        let (open, opened) = watch::channel(true);
        let listener = Self {
            socket,
            listener: TcpListener::bind(address).await?,
            tls,
            wanted: wants,
            open,
        };
        let switch = Switch {
            wanted,
            open: opened,
        };
        Ok((listener, switch))
    }

    /// Where it is bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves connections until the task is aborted. While the socket is wanted closed nothing
    /// listens: the system refuses connections.
    pub(crate) async fn run(mut self, state: Arc<State>) -> io::Result<()> {
        let address = self.address()?;
        loop {
            self.accept(&state).await;
            drop(self.listener);
            self.open.send_replace(false);
            if self.wanted.wait_for(|wanted| *wanted).await.is_err() {
                return Ok(());
            }
            self.listener = TcpListener::bind(address).await?;
            self.open.send_replace(true);
        }
    }

    /// Accepts until the socket is wanted closed; then ends what is connected.
    async fn accept(&mut self, state: &Arc<State>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = self.wanted.wait_for(|wanted| !wanted) => return,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.listener.accept() => {
                    // An error here is one connection's, not the socket's.
                    if let Ok((tcp, _)) = accepted {
                        let number = state.log.connected(self.socket);
                        let state = Arc::clone(state);
                        connections.spawn(connection(state, self.socket, number, tcp, self.tls.clone()));
                    }
                }
            }
        }
    }
}

async fn connection(
    state: Arc<State>,
    socket: Socket,
    number: u64,
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
) {
    // Answers are written at once, so delaying segments would gain nothing.
    let _ = tcp.set_nodelay(true);
    let abort = Arc::new(Abort::default());
    let stream = Stream {
        tcp,
        abort: Arc::clone(&abort),
    };
    let served = async {
        match tls {
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    http(state, socket, number, &abort, stream).await;
                }
            }
            None => http(state, socket, number, &abort, stream).await,
        }
    };
    tokio::select! {
        () = served => {}
        () = abort.requested.notified() => {}
    }
}

async fn http(
    state: Arc<State>,
    socket: Socket,
    number: u64,
    abort: &Arc<Abort>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) {
    let service = service_fn(|request| {
        serve(
            Arc::clone(&state),
            socket,
            number,
            Arc::clone(abort),
            request,
        )
    });
    // How a client ends its connection is its own affair.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

const USUAL: u8 = 0;
const AFTER_FLUSH: u8 = 1;
const RESET: u8 = 2;

/// Breaks a connection off with a reset.
#[derive(Default)]
pub(crate) struct Abort {
    state: AtomicU8,
    requested: Notify,
}

impl Abort {
    /// Resets the connection now.
    pub(crate) fn reset(&self) {
        self.state.store(RESET, Ordering::Release);
        self.requested.notify_one();
    }

    fn reset_after_flush(&self) {
        self.state.store(AFTER_FLUSH, Ordering::Release);
    }

    fn flushed(&self) {
        if self.state.load(Ordering::Acquire) == AFTER_FLUSH {
            self.reset();
        }
    }
}

/// A TCP connection that is reset when it is dropped after an abort.
struct Stream {
    tcp: TcpStream,
    abort: Arc<Abort>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.abort.state.load(Ordering::Acquire) != USUAL {
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.tcp).poll_flush(context);
        if flushed.is_ready() {
            self.abort.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// The first half of a body, after which the connection is reset.
pub(crate) struct HalfBody {
    half: Option<Bytes>,
    abort: Arc<Abort>,
}

impl HalfBody {
    pub(crate) fn of(whole: &Bytes, abort: Arc<Abort>) -> BoxBody<Bytes, std::convert::Infallible> {
        BoxBody::new(Self {
            half: Some(whole.slice(..whole.len() / 2)),
            abort,
        })
    }
}

impl Body for HalfBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        // The HTTP library flushes what it holds whenever a body has nothing to give.
        self.abort.reset_after_flush();
        Poll::Pending
    }
}
