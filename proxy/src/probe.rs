//! `--probe`: asks a running sidecar whether it is ready, for kubelet.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thiserror::Error;

/// Why the sidecar is not ready.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// It cannot be reached, or does not answer.
    #[error("the proxy at {address} does not answer: {source}")]
    Silent {
        /// Where it was looked for.
        address: SocketAddr,
        /// What came instead of an answer.
        source: io::Error,
    },
    /// It answered something else than 200.
    #[error("the proxy at {address} is not ready: {answer}")]
    NotReady {
        /// Where it is.
        address: SocketAddr,
        /// Its answer.
        answer: String,
    },
}

/// Asks `/readyz` on 127.0.0.1 until the answer is 200. Refused connections and other answers are
/// tried again until `patience` is over.
///
/// # Errors
/// What the last try brought.
pub fn probe(port: u16, patience: Duration) -> Result<(), ProbeError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + patience;
    loop {
        let error = match ask(address) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        sleep(PAUSE);
    }
}

fn ask(address: SocketAddr) -> Result<(), ProbeError> {
    let answer = exchange(address).map_err(|source| ProbeError::Silent { address, source })?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let answer = answer.lines().last().unwrap_or_default().to_owned();
    Err(ProbeError::NotReady { address, answer })
}

fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

const PAUSE: Duration = Duration::from_millis(50);
/// A proxy that hangs still accepts connections: the kernel does that.
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_ANSWER: u64 = 4096;
