//! The proof: a connection to IMDS arrives at the proxy's port.
//!
//! Before the proxy runs its port is free. We listen there, connect to IMDS as an application
//! would, and compare a random token in each direction.
//!
//! When this container is started again in a living pod, the proxy already holds the port. Then
//! the kernel's table of sockets has to show that our connection to IMDS ended in a socket on the
//! proxy's port, and that the port belongs to the proxy's user.
//!
//! That the proxy's own connections are exempt cannot be tried: becoming another user takes a
//! capability that this container does not have. Instead the rules are read back from the kernel
//! (`firewall`). If that ever failed, the proxy would not reach IMDS; no token would leak.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::{TimeVal, TimeValLike};

use crate::config::Config;
use crate::socket_table;

/// How long the proof may take: ample on a node that is busy starting many pods.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A connection ended at the proxy, which was already listening.
    ReachedProxy,
    /// A random token went both ways.
    Token,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReachedProxy => "a connection that reached the running proxy",
            Self::Token => "a random token that went both ways",
        })
    }
}

/// Why the redirect is not proved.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The connection was not redirected, or nobody could be reached.
    #[error("connecting failed: {0}")]
    Connect(io::Error),
    /// Somebody else answered.
    #[error("the connection went elsewhere: it did not arrive at the proxy's port")]
    Elsewhere,
    /// The random token did not come through.
    #[error("the token did not come through: {0}")]
    Exchange(io::Error),
    /// Listening failed.
    #[error("cannot listen on the proxy's port: {0}")]
    Listen(io::Error),
    /// Another user than the proxy's listens there, or a socket that is not IPv4 (`None`).
    #[error("the proxy's port is taken")]
    PortTaken(Option<u32>),
    /// There is no randomness.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// The table of sockets.
    #[error("cannot read the table of sockets in /proc: {0}")]
    Table(io::Error),
}

/// Proves that a connection to `config.metadata` arrives at `config.proxy()`.
///
/// # Errors
/// The connection does not arrive there within [`DEADLINE`], or the port is someone else's.
pub fn prove(config: &Config) -> Result<Proof, ProofError> {
    let deadline = Deadline(Instant::now() + DEADLINE);
    match TcpListener::bind(config.proxy()) {
        Ok(listener) => by_token(&listener, config.metadata, deadline).map(|()| Proof::Token),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            by_socket_table(config, deadline).map(|()| Proof::ReachedProxy)
        }
        Err(error) => Err(ProofError::Listen(error)),
    }
}

fn by_token(
    listener: &TcpListener,
    metadata: SocketAddrV4,
    deadline: Deadline,
) -> Result<(), ProofError> {
    let (question, answer) = (random()?, random()?);
    let mut client = deadline.connect(metadata)?;
    client.write_all(&question).map_err(ProofError::Exchange)?;
    let mut server = deadline.accept_from(listener, &client)?;
    deadline.expect(&mut server, &question)?;
    server.write_all(&answer).map_err(ProofError::Exchange)?;
    deadline.expect(&mut client, &answer)?;
    // Whoever closes first keeps its port a while (TIME_WAIT): not the side that the proxy needs.
    drop(client);
    drop(server);
    Ok(())
}

fn by_socket_table(config: &Config, deadline: Deadline) -> Result<(), ProofError> {
    let owner = socket_table::listener(
        &socket_table::read().map_err(ProofError::Table)?,
        config.proxy(),
    );
    if owner != Some(config.proxy_uid) {
        return Err(ProofError::PortTaken(owner));
    }
    let client = deadline.connect(config.metadata)?;
    let SocketAddr::V4(source) = client.local_addr().map_err(ProofError::Exchange)? else {
        return Err(ProofError::Elsewhere);
    };
    while deadline.remaining().is_some() {
        let table = socket_table::read().map_err(ProofError::Table)?;
        if socket_table::is_connected(&table, config.proxy(), source) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(ProofError::Elsewhere)
}

type Token = [u8; 16];

fn random() -> Result<Token, ProofError> {
    let mut token = Token::default();
    getrandom::fill(&mut token).map_err(ProofError::Random)?;
    Ok(token)
}

#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn connect(self, metadata: SocketAddrV4) -> Result<TcpStream, ProofError> {
        let remaining = self.remaining().ok_or(ProofError::Elsewhere)?;
        TcpStream::connect_timeout(&metadata.into(), remaining).map_err(ProofError::Connect)
    }

    /// The other end of `client`. Connections of others, who must try again later anyway, are
    /// closed.
    fn accept_from(
        self,
        listener: &TcpListener,
        client: &TcpStream,
    ) -> Result<TcpStream, ProofError> {
        let source = client.local_addr().map_err(ProofError::Exchange)?;
        while let Some(remaining) = self.remaining() {
            let timeout = TimeVal::microseconds(remaining.as_micros().max(1) as i64);
            setsockopt(listener, ReceiveTimeout, &timeout)
                .map_err(|errno| ProofError::Listen(errno.into()))?;
            match listener.accept() {
                Ok((server, peer)) if peer == source => return Ok(server),
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(ProofError::Listen(error)),
            }
        }
        Err(ProofError::Elsewhere)
    }

    fn expect(self, stream: &mut TcpStream, token: &Token) -> Result<(), ProofError> {
        let mut found = Token::default();
        stream
            .set_read_timeout(Some(self.remaining().ok_or(ProofError::Elsewhere)?))
            .and_then(|()| stream.read_exact(&mut found))
            .map_err(ProofError::Exchange)?;
        if found == *token {
            Ok(())
        } else {
            Err(ProofError::Elsewhere)
        }
    }

    fn remaining(self) -> Option<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|remaining| !remaining.is_zero())
    }
}

/// The time is up (which the caller's loop sees), or a connection went away while it waited.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
    )
}
