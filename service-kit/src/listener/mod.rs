//! One accept loop for HTTP/1.1, in the clear or over TLS, with every limit in one value.
//!
//! - [`Service`]: answers the requests.
//! - [`Limits`]: how many connections, how long, how large, how slow.
//! - `places`: which connection makes way for a new one (no I/O).
//! - `activity`: the current stage of a connection, without a lock.
//! - [`RequestBody`]: a request's body with a minimum rate.
//! - `ahead`: reads a TLS record with one system call.
//! - `unreadable`: the service's own answer to bytes that are not a request.
//!
//! A connection has no buffer until its client speaks.

mod activity;
#[cfg(feature = "tls")]
mod ahead;
mod body;
mod connection;
mod io;
mod limits;
mod places;
mod service;
mod unreadable;

pub use body::{BodyError, RequestBody, is_slow};
pub use connection::serve;
pub use limits::{BodyRate, Limits};
pub use service::{Protocol, Service};
pub use unreadable::HeadError;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
#[cfg(feature = "tls")]
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error};

use crate::shutdown::{Phase, Shutdown};
use activity::Activity;
#[cfg(feature = "tls")]
use ahead::Ahead;
use connection::Connection;
use places::{Entrance, Places};

/// A socket and what is served on it.
#[derive(Debug)]
pub struct Listener<S> {
    /// The socket.
    pub socket: TcpListener,
    /// Answers the requests.
    pub service: Arc<S>,
    /// Every limit.
    pub limits: Limits,
    /// The protocol.
    pub protocol: Protocol,
}

/// Binds an address in Go's form, `:9443` or `host:port`. Without a host it listens on all addresses
/// of both families, as far as the machine has them.
///
/// # Errors
///
/// When the address is malformed or taken.
pub async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await;
    };
    let port = port
        .parse()
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
    let any = |ip: IpAddr| TcpListener::bind(SocketAddr::from((ip, port)));
    match any(Ipv6Addr::UNSPECIFIED.into()).await {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            any(Ipv4Addr::UNSPECIFIED.into()).await
        }
        bound => bound,
    }
}

impl<S: Service> Listener<S> {
    /// Serves until the phase is closed and the requests under way are answered or
    /// [`Limits::last_answers`] is over.
    pub async fn run(self, shutdown: Shutdown) {
        let server = Arc::new(Server {
            left: Notify::new(),
            limits: self.limits,
            places: Mutex::default(),
            protocol: self.protocol,
            service: self.service,
            start: Instant::now(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        });
        let mut closing = shutdown.clone();
        let mut closed = pin!(closing.reached(Phase::Closed));
        let accepting = async {
            loop {
                let (stream, client) = accept(&self.socket).await;
                if let Some(place) = server.enter(client.ip()).await {
                    let connection = place.serve(stream, client, shutdown.clone());
                    tokio::spawn(connection);
                } else if let Ok(permit) = Arc::clone(&server.waiting).try_acquire_owned() {
                    let server = Arc::clone(&server);
                    tokio::spawn(server.serve_later(permit, stream, client, shutdown.clone()));
                } else {
                    debug!(%client, "connection refused: its address has too many connections");
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = &mut closed => {}
        }
        drop(self.socket);
        let empty = async {
            while server.places().len() > 0 {
                server.left.notified().await;
            }
        };
        if timeout(server.limits.last_answers, empty).await.is_err() {
            debug!("closing connections with requests under way");
        }
    }
}

/// Shared by the connections of a listener.
struct Server<S> {
    /// A connection has left.
    left: Notify,
    limits: Limits,
    places: Mutex<Places>,
    protocol: Protocol,
    service: Arc<S>,
    start: Instant,
    /// Connections that wait until their address may have one more.
    waiting: Arc<Semaphore>,
}

/// A place among the connections, free again when it is dropped.
struct Place<S> {
    activity: Arc<Activity>,
    number: u64,
    server: Arc<Server<S>>,
}

impl<S> Server<S> {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place, `None` when the address may have no more now.
    async fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place<S>> {
        let activity = self.activity(address);
        let mut is_urgent = false;
        loop {
            match self.try_enter(address, &activity, is_urgent) {
                Entrance::Entered(number) => return Some(self.place(activity, number)),
                Entrance::AddressFull => return None,
                Entrance::Wait => {
                    is_urgent = timeout(LEAVING, self.left.notified()).await.is_err();
                }
            }
        }
    }

    /// Waits for a place, also while the address may have no more.
    async fn enter_later(self: &Arc<Self>, address: IpAddr) -> Place<S> {
        let activity = self.activity(address);
        let mut is_urgent = false;
        loop {
            let mut freed = pin!(activity.freed().notified());
            freed.as_mut().enable();
            if let Entrance::Entered(number) = self.try_enter(address, &activity, is_urgent) {
                return self.place(Arc::clone(&activity), number);
            }
            is_urgent = timeout(RETRY, freed).await.is_err();
        }
    }

    fn activity(&self, address: IpAddr) -> Arc<Activity> {
        let freed = self.places().freed(address);
        Arc::new(Activity::new(self.start, freed))
    }

    fn try_enter(&self, address: IpAddr, activity: &Arc<Activity>, is_urgent: bool) -> Entrance {
        self.places()
            .enter(address, activity, &self.limits, is_urgent)
    }

    fn place(self: &Arc<Self>, activity: Arc<Activity>, number: u64) -> Place<S> {
        Place {
            activity,
            number,
            server: Arc::clone(self),
        }
    }
}

impl<S: Service> Server<S> {
    /// Serves a connection whose address has too many, when one of them makes way in time.
    async fn serve_later(
        self: Arc<Self>,
        permit: OwnedSemaphorePermit,
        stream: TcpStream,
        client: SocketAddr,
        shutdown: Shutdown,
    ) {
        let mut closed = shutdown.clone();
        let place = tokio::select! {
            place = timeout(WAITING, self.enter_later(client.ip())) => place,
            () = closed.reached(Phase::Closed) => return,
        };
        drop((permit, self));
        match place {
            Ok(place) => place.serve(stream, client, shutdown).await,
            Err(_) => debug!(%client, "connection refused: its address has too many connections"),
        }
    }
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.server.places().left(self.number);
        self.server.left.notify_one();
    }
}

impl<S: Service> Place<S> {
    async fn serve(self, stream: TcpStream, client: SocketAddr, shutdown: Shutdown) {
        // Answers are written in one piece: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        if self.has_spoken(&stream, &shutdown).await {
            // In a box, so that silent connections do not pay for its size.
            Box::pin(self.speak(stream, client, shutdown)).await;
        }
    }

    /// Waits for the client's first byte. Until then its connection costs no buffer.
    async fn has_spoken(&self, stream: &TcpStream, shutdown: &Shutdown) -> bool {
        let limits = &self.server.limits;
        let silence = if self.is_tls() {
            limits.handshake
        } else {
            limits.idle
        };
        let mut closed = shutdown.clone();
        let mut first = [0];
        tokio::select! {
            biased;
            spoken = timeout(silence, stream.peek(&mut first)) => matches!(spoken, Ok(Ok(_))),
            () = self.activity.leaving() => false,
            () = closed.reached(Phase::Closed) => false,
        }
    }

    #[cfg(feature = "tls")]
    fn is_tls(&self) -> bool {
        self.server.protocol.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    fn is_tls(&self) -> bool {
        false
    }

    async fn speak(&self, stream: TcpStream, client: SocketAddr, shutdown: Shutdown) {
        let server = &*self.server;
        let connection = Connection {
            activity: Arc::clone(&self.activity),
            client,
            limits: &server.limits,
            protocol: &server.protocol,
            service: &*server.service,
            shutdown,
        };
        #[cfg(feature = "tls")]
        if let Some(config) = &server.protocol.tls {
            let handshake = TlsAcceptor::from(Arc::clone(config)).accept(Ahead::new(stream));
            let left = server
                .limits
                .handshake
                .saturating_sub(self.activity.since().elapsed());
            let mut closed = connection.shutdown.clone();
            let accepted = tokio::select! {
                accepted = timeout(left, handshake) => accepted,
                () = self.activity.leaving() => return,
                () = closed.reached(Phase::Closed) => return,
            };
            match accepted {
                Ok(Ok(stream)) => connection.serve(stream).await,
                Ok(Err(error)) => debug!(%client, %error, "TLS handshake failed"),
                Err(_) => debug!(%client, "TLS handshake took too long"),
            }
            return;
        }
        connection.serve(stream).await;
    }
}

/// The next connection. Ignores the error of a connection that was closed meanwhile. After any other error,
/// usually that no file descriptor is left, it waits, because retrying at once would use up a core.
async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                error!(%error, "cannot accept connections: trying again in a second");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::Interrupted
    )
}

/// How long a connection that was asked to close may take before another one is asked.
const LEAVING: Duration = Duration::from_millis(100);

/// How long a connection waits until its address may have one more.
const WAITING: Duration = Duration::from_secs(5);

/// The most connections that wait for their address. Each is a socket without a buffer.
const MAX_WAITING: usize = 256;

/// How often a waiting connection tries again when no other has become idle: one that was too new to be closed may
/// be old enough by now.
const RETRY: Duration = Duration::from_millis(250);

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
