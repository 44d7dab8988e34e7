//! Latency at a constant rate. The schedule does not wait for the server: a request's latency counts
//! from when it was due, so that a stall counts for every request that it delays.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Inbox;

/// The deadline for the last answers, from the end of the schedule.
const GRACE: Duration = Duration::from_secs(60);

/// The request and its times.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// The HTTP request, the same each time.
    pub request: &'a [u8],
    /// The time between two requests.
    pub interval: Duration,
    /// The number of requests.
    pub count: u32,
}

/// Sends requests by the schedule over these streams, which must not block, and returns each request's
/// latency. A new stream is taken for each request until there is none left; then streams that are
/// idle are used again. A request that is due while every stream is busy waits for one, and the wait
/// counts.
///
/// This function never sleeps, so that its own wake-ups are not measured: it keeps one core busy.
///
/// # Errors
///
/// When a connection fails, an answer is not 200, or the server falls behind by a minute.
pub fn latencies<S: Read + Write>(
    streams: impl IntoIterator<Item = Result<S>>,
    schedule: Schedule<'_>,
) -> Result<Vec<Duration>> {
    let mut streams = streams.into_iter();
    let mut idle = VecDeque::new();
    let mut busy = Vec::new();
    let mut latencies = Vec::new();
    let start = Instant::now();
    let deadline = schedule.interval * schedule.count + GRACE;
    let mut sent = 0;
    while sent < schedule.count || !busy.is_empty() {
        while sent < schedule.count && start.elapsed() >= schedule.interval * sent {
            let mut connection = match streams.next() {
                Some(stream) => Connection::new(stream?),
                None => match idle.pop_front() {
                    Some(connection) => connection,
                    None => break,
                },
            };
            connection.due = start + schedule.interval * sent;
            connection.send(schedule.request)?;
            busy.push(connection);
            sent += 1;
        }
        for mut connection in std::mem::take(&mut busy) {
            match connection.receive()? {
                Some(latency) => {
                    latencies.push(latency);
                    idle.push_back(connection);
                }
                None => busy.push(connection),
            }
        }
        if start.elapsed() > deadline {
            bail!(
                "after {deadline:?} the server has answered {} of {sent} requests",
                latencies.len()
            );
        }
    }
    Ok(latencies)
}

/// The latency that only one request in a hundred exceeds.
pub fn p99(mut latencies: Vec<Duration>) -> Option<Duration> {
    latencies.sort_unstable();
    latencies
        .get((latencies.len() * 99).div_ceil(100).checked_sub(1)?)
        .copied()
}

struct Connection<S> {
    due: Instant,
    inbox: Inbox,
    stream: S,
}

impl<S: Read + Write> Connection<S> {
    fn new(stream: S) -> Self {
        Self {
            due: Instant::now(),
            inbox: Inbox::default(),
            stream,
        }
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream
            .write_all(request)
            .context("cannot send a request")?;
        self.stream.flush().context("cannot send a request")
    }

    fn receive(&mut self) -> Result<Option<Duration>> {
        match self.inbox.receive(&mut self.stream) {
            Ok(None) => Ok(None),
            Ok(Some(answer)) => {
                let latency = self.due.elapsed();
                answer.ok()?;
                Ok(Some(latency))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("cannot receive an answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    const STALL: Duration = Duration::from_millis(300);

    /// A server with one connection that answers every request at once but the first.
    fn server_that_stalls_once() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            thread::sleep(STALL);
            stream.write_all(ANSWER).unwrap();
            while stream.read_exact(&mut request).is_ok() {
                stream.write_all(ANSWER).unwrap();
            }
        });
        client.set_nonblocking(true).unwrap();
        client
    }

    #[test]
    fn a_stall_counts_for_every_request_that_was_due_meanwhile() {
        let interval = Duration::from_millis(1);
        let schedule = Schedule {
            request: REQUEST,
            interval,
            count: 100,
        };
        let latencies = latencies([Ok(server_that_stalls_once())], schedule).unwrap();
        assert_eq!(latencies.len(), 100);
        let shortest = latencies.iter().min().unwrap();
        assert!(*shortest >= STALL - interval * 100, "{shortest:?}");
    }

    #[test]
    fn one_in_a_hundred_is_above_the_p99() {
        let latencies = (1..=1000).rev().map(Duration::from_micros).collect();
        assert_eq!(p99(latencies), Some(Duration::from_micros(990)));
        assert_eq!(p99(Vec::new()), None);
    }
}
