//! `--probe`: checks for kubelet whether the proxy on this pod is ready.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use service_kit::termination;
use thiserror::Error;

/// Why the probe failed.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The proxy cannot be reached, or does not answer.
    #[error("the proxy at {address} does not answer: {source}")]
    Silent {
        /// The address that was probed.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The proxy answered with another status than 200.
    #[error("the proxy at {address} is not ready: {answer}")]
    NotReady {
        /// The address that was probed.
        address: SocketAddr,
        /// The last line of the answer: the reason.
        answer: String,
    },
}

/// Requests `/readyz` on 127.0.0.1 until the answer is 200, at most for `limit`.
///
/// # Errors
///
/// The error of the last attempt.
pub fn probe(port: u16, limit: Duration) -> Result<(), ProbeError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + limit;
    loop {
        let error = match request(address) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        sleep(PAUSE);
    }
}

/// Leaves the error in the container's termination message, which `kubectl describe pod` shows. The kubelet
/// drops the output of a `postStart` hook that failed.
pub fn report(error: &ProbeError, termination_log: &Path) {
    termination::write(termination_log, &format!("{error}\n"));
}

fn request(address: SocketAddr) -> Result<(), ProbeError> {
    let answer = exchange(address).map_err(|source| ProbeError::Silent { address, source })?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let answer = answer.lines().last().unwrap_or_default().to_owned();
    Err(ProbeError::NotReady { address, answer })
}

fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// The timeout of each step of one request. When a proxy hangs, the kernel still accepts connections,
/// but no answer arrives.
const TIMEOUT: Duration = Duration::from_secs(2);
/// In bytes.
const MAX_ANSWER: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn leaves_the_reason_in_the_termination_message() {
        let file = std::env::temp_dir().join(format!("termination-log-{}", std::process::id()));
        let error = ProbeError::NotReady {
            address: (Ipv4Addr::LOCALHOST, 8000).into(),
            answer: "the token file is empty".into(),
        };
        report(&error, &file);
        assert!(!file.exists(), "there is no termination log here");
        fs::write(&file, "").unwrap();
        report(&error, &file);
        let message = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(
            message,
            "the proxy at 127.0.0.1:8000 is not ready: the token file is empty\n"
        );
    }
}
