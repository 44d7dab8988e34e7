//! The proof: a connection to IMDS arrives at the proxy's port.
//!
//! Before the proxy runs, its port is free. proxy-init listens there, connects to IMDS as an
//! application would, and compares a random token in each direction.
//!
//! When this container runs again in a running pod, the proxy has the port. Then the kernel's table of
//! sockets must show that the connection to IMDS ended in a socket on the proxy's port, and that the
//! proxy's user owns the port.
//!
//! The exemption of the proxy's own connections cannot be tested: changing the user needs a capability
//! that this container lacks. Instead `firewall` reads the rules back from the kernel. Without the
//! exemption the proxy would not reach IMDS; no token would leak.

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

/// The timeout of the proof, sufficient on a node that starts many pods at once.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How the redirect was proved.
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

/// The redirect is not proved.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The connection to IMDS failed, so it was not redirected.
    #[error("connecting failed: {0}")]
    Connect(io::Error),
    /// Another program answered.
    #[error("the connection went elsewhere: it did not arrive at the proxy's port")]
    Elsewhere,
    /// The random token did not arrive.
    #[error("the token did not arrive: {0}")]
    Exchange(io::Error),
    /// The proxy's port cannot be opened.
    #[error("cannot listen on the proxy's port: {0}")]
    Listen(io::Error),
    /// Another user than the proxy's has the port; `None` if its socket is not IPv4.
    #[error("the proxy's port is taken")]
    PortTaken(Option<u32>),
    /// The kernel gave no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// The table of sockets cannot be read.
    #[error("cannot read the table of sockets in /proc: {0}")]
    Table(io::Error),
}

/// Proves that a connection to `config.metadata` arrives at `config.proxy()`.
///
/// # Errors
///
/// The connection does not arrive there within [`DEADLINE`], or another program has the port.
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
    // The side that closes first keeps its port for a while (TIME_WAIT). That must not be the proxy's port.
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

    /// Accepts the other end of `client`. Closes connections of other programs that arrived before it.
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

/// The timeout has passed, which ends the caller's loop, or a connection was closed while it waited.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
    )
}
