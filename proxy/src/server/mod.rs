//! HTTP/1.1 connections: how many, how long, how large.

mod connection;
mod http2;
mod origin;
mod unreadable;

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

/// An answer made here, or one of IMDS on its way through.
pub type Body = Either<Full<Bytes>, Incoming>;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request, which came from `peer`.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Accepts and serves connections until `stop` is ready, then lets requests under way end and
/// returns.
///
/// When there are as many connections as memory is meant for, the oldest makes room: it is closed
/// as soon as its request is answered, or at once when it is idle.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let make_room = Arc::new(Notify::new());
    let accept = async {
        loop {
            let (stream, peer) = accept(&listener).await;
            let permit = permit(&room, &make_room).await;
            let (service, make_room) = (Arc::clone(&service), Arc::clone(&make_room));
            tokio::spawn(async move {
                match opening(&stream, &make_room).await {
                    // In a box, so that silent connections do not pay for its size.
                    Opening::Http1 => {
                        Box::pin(connection(stream, peer, &*service, make_room.notified())).await;
                    }
                    Opening::Http2 => Box::pin(http2::refuse(stream)).await,
                    Opening::Silence => {}
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
    if timeout(LAST_ANSWERS, room.acquire_many(all)).await.is_err() {
        debug!("connections are closed with requests under way");
    }
}

/// How a connection begins.
enum Opening {
    /// With a request, whether it can be read or not, or an end.
    Http1,
    /// With HTTP/2, which was not offered.
    Http2,
    /// Not at all.
    Silence,
}

/// Waits for the client to speak. Until then its connection costs no buffer.
async fn opening(stream: &TcpStream, make_room: &Notify) -> Opening {
    let mut first = [0; http2::PREFACE.len()];
    tokio::select! {
        biased;
        spoke = timeout(IDLE, stream.peek(&mut first)) => match spoke {
            Ok(Ok(_)) if first == http2::PREFACE => Opening::Http2,
            Ok(Ok(_)) => Opening::Http1,
            Ok(Err(_)) | Err(_) => Opening::Silence,
        },
        () = make_room.notified() => Opening::Silence,
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
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                // Most likely no file descriptor is left: trying again at once changes nothing.
                error!(%error, "no connection can be accepted for the moment");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn permit(room: &Arc<Semaphore>, make_room: &Notify) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(room).try_acquire_owned() {
        return Some(permit);
    }
    loop {
        make_room.notify_one();
        let freed = Arc::clone(room).acquire_owned();
        if let Ok(permit) = timeout(ROOM_PAUSE, freed).await {
            // Fails only when the semaphore is closed, which nobody does.
            return permit.ok();
        }
    }
}

/// Whether the error concerns one connection and not the listener.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Below the usual limit of 1,024 file descriptors, with room for connections to Entra and IMDS.
const MAX_CONNECTIONS: usize = 480;

/// How long requests under way may go on when their connection is to end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How long an idle connection gets to end before the next one is asked to.
const ROOM_PAUSE: Duration = Duration::from_millis(100);

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
