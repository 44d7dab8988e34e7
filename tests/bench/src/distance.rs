//! Simulates a distant server: a relay that delays every segment.
//!
//! The kernel answers a TCP handshake at once, so the relay adds that round trip to what a client
//! sends first.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A relay to one server, whose delay can be changed at any time.
#[derive(Clone, Debug)]
pub struct Distance {
    /// The delay of one direction, in microseconds.
    one_way: Arc<AtomicU64>,
}

impl Distance {
    /// Relays connections of `listener` to `server`, at first without delay, until this process ends.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn between(listener: TcpListener, server: SocketAddr) -> Result<Self> {
        let distance = Self {
            one_way: Arc::default(),
        };
        let way = distance.clone();
        thread::Builder::new()
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    // If the relay cannot be set up, the client's connection is closed.
                    let _ = way.relay(client, server);
                }
            })
            .context("cannot start the relay")?;
        Ok(distance)
    }

    /// Sets the round trip, for existing connections too.
    pub fn set(&self, round_trip: Duration) {
        let one_way = u64::try_from(round_trip.as_micros() / 2).unwrap_or(u64::MAX);
        self.one_way.store(one_way, Ordering::Relaxed);
    }

    fn one_way(&self) -> Duration {
        Duration::from_micros(self.one_way.load(Ordering::Relaxed))
    }

    fn relay(&self, client: TcpStream, server: SocketAddr) -> Result<()> {
        let handshake_ends = Instant::now() + self.one_way() * 2;
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.carry(client.try_clone()?, server.try_clone()?, handshake_ends)?;
        self.carry(server, client, Instant::now())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, not_before: Instant) -> Result<()> {
        let way = self.clone();
        let (sender, segments) = mpsc::channel::<(Instant, Vec<u8>)>();
        thread::Builder::new().spawn(move || {
            for (due, bytes) in segments {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            // The other side may have closed it.
            let _ = to.shutdown(Shutdown::Write);
        })?;
        thread::Builder::new().spawn(move || {
            let mut segment = [0; 65_536];
            while let Ok(length @ 1..) = from.read(&mut segment) {
                let due = not_before.max(Instant::now()) + way.one_way();
                let bytes = segment.iter().take(length).copied().collect();
                if sender.send((due, bytes)).is_err() {
                    break;
                }
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(200);

    /// A relay in front of an echo server.
    fn echo() -> (Distance, SocketAddr) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        });
        let relay = TcpListener::bind("127.0.0.1:0").unwrap();
        let relayed = relay.local_addr().unwrap();
        (Distance::between(relay, address).unwrap(), relayed)
    }

    fn ping(stream: &mut TcpStream) -> Duration {
        let sent = Instant::now();
        stream.write_all(b"ping").unwrap();
        let mut pong = [0; 4];
        stream.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"ping");
        sent.elapsed()
    }

    #[test]
    fn an_answer_takes_a_round_trip_and_the_first_one_a_second() {
        let (distance, address) = echo();
        distance.set(ROUND_TRIP);
        let mut stream = TcpStream::connect(address).unwrap();
        let connected = Instant::now();
        ping(&mut stream);
        // The relay may have seen the connection a moment before the client returned from it.
        assert!(connected.elapsed() + Duration::from_millis(100) >= ROUND_TRIP * 2);
        assert!(ping(&mut stream) >= ROUND_TRIP);
    }

    #[test]
    fn all_bytes_arrive_in_order_and_then_the_end() {
        let (_, address) = echo();
        let mut stream = TcpStream::connect(address).unwrap();
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(1_000_000).collect();
        let mut reader = stream.try_clone().unwrap();
        let received = thread::spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            received
        });
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(received.join().unwrap() == sent);
    }
}
