//! HTTP/1.1 connections: how many there are, how long they last, how large a request's head may be.
//! Nothing here knows what is requested: see [`Service`].

mod connection;
mod muted;
mod progress;

pub use connection::{BUFFER, IDLE, connection};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, error};

/// The body of an answer: made here, or streamed from IMDS.
pub type Body = Either<Full<Bytes>, Incoming>;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request, which came from `peer`.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Answers bytes that are not a request. The connection ends after it.
    fn refuse_head(&self, error: HeadError) -> Response<Full<Bytes>>;
}

/// Why the head of a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is not HTTP/1.1.
    NotHttp,
    /// It is larger than [`BUFFER`].
    TooLarge,
}

/// Accepts and serves connections until `stop` is ready, then lets requests under way end and
/// returns.
///
/// When there are [`MAX_CONNECTIONS`], the oldest makes room for a new one: it is closed as soon as its
/// request is answered, or at once when it is idle.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    stop: impl Future<Output = ()>,
) {
    let capacity = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let make_room = Arc::new(Notify::new());
    let accept = async {
        loop {
            let (stream, peer) = accept(&listener).await;
            let permit = permit(&capacity, &make_room).await;
            let (service, make_room) = (Arc::clone(&service), Arc::clone(&make_room));
            tokio::spawn(async move {
                if speaks(&stream, &make_room).await {
                    // Boxed, so that silent connections do not pay for its size.
                    Box::pin(connection(stream, peer, &*service, make_room.notified())).await;
                }
                drop(permit);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
    drop(listener);
    make_room.notify_waiters();
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    if timeout(LAST_ANSWERS, capacity.acquire_many(all))
        .await
        .is_err()
    {
        debug!("closing connections with requests under way");
    }
}

/// Waits for the first byte. Until then a connection costs no buffer.
async fn speaks(stream: &TcpStream, make_room: &Notify) -> bool {
    let mut first = [0];
    tokio::select! {
        biased;
        peeked = timeout(IDLE, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(_))),
        () = make_room.notified() => false,
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written in one piece, so waiting for more only delays them.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // Most likely no file descriptor is left, and another attempt at once would fail too.
                error!(%error, "cannot accept connections, trying again in a second");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn permit(capacity: &Arc<Semaphore>, make_room: &Notify) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(capacity).try_acquire_owned() {
        return Some(permit);
    }
    loop {
        make_room.notify_one();
        let freed = Arc::clone(capacity).acquire_owned();
        if let Ok(permit) = timeout(EVICTION_PAUSE, freed).await {
            // It fails when the semaphore is closed, which never happens.
            return permit.ok();
        }
    }
}

/// Whether the error concerns one connection and not the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Below the usual limit of 1,024 file descriptors, which connections to Entra and IMDS need too.
const MAX_CONNECTIONS: usize = 480;

/// How long requests under way may go on when their connection is to end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How long an idle connection gets to end before the next one is closed.
const EVICTION_PAUSE: Duration = Duration::from_millis(100);

/// How long no connection is accepted after an error of the listener.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
