//! Every limit of a listener.

use std::time::Duration;

use tokio::time::Instant;

use super::activity::Stage;

/// Every limit of a listener. [`Limits::DEFAULT`] suits a port in a cluster's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all. At this number the oldest idle one is closed for a new one, or else one whose
    /// client is slow to read an answer or to send a body. While every request is being answered, new
    /// ones wait in the kernel's queue.
    pub connections: usize,
    /// Connections of each client address, `None` for as many as there are in all. At this number the
    /// address's own oldest idle or slow connection is closed. If it has none, the new one waits for some
    /// seconds, and then it is closed.
    ///
    /// `None` is for a port that only one pod reaches: there every client has the same address,
    /// 127.0.0.1 or, behind a redirect, the pod's own.
    pub connections_per_address: Option<usize>,
    /// Whether a connection without an answer in its first second is closed before an older one that
    /// has had an answer. Keeps the
    /// clients that are known to work; holds more memory, because only a connection that has spoken
    /// has buffers.
    pub unanswered_first: bool,
    /// How long a TLS handshake may take, from the connection's beginning.
    pub handshake: Duration,
    /// How long a connection may be idle: before its first request and between two. Longer than the
    /// clients' own limit, so that the client closes first and no request meets a closing connection.
    pub idle: Duration,
    /// How long the head of a request may take, from its first byte.
    pub head: Duration,
    /// Bytes of the read buffer, which bound a request's head. hyper accepts no less than 8,192.
    pub head_size: usize,
    /// The slowest request body.
    pub body: BodyRate,
    /// How long a client may take to read the rest of an answer that is complete, or any of one that is
    /// not.
    pub answer: Duration,
    /// From this age on, answers ask their client to connect again, so that load spreads over replicas. Up to a fifth is added, by the client's port, so that connections that were made
    /// together do not end together. `None` for never.
    pub age: Option<Duration>,
    /// How long requests under way may take when the listener closes or their connection has to end.
    pub last_answers: Duration,
}

/// The slowest request body that is accepted: `bytes_per_second` on average after `grace`. Time in
/// which the service does not read is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRate {
    /// Additional time for clients that pause once.
    pub grace: Duration,
    /// Bytes per second.
    pub bytes_per_second: u32,
}

impl Limits {
    /// Limits for a port in a cluster's network.
    pub const DEFAULT: Self = Self {
        connections: 1024,
        connections_per_address: Some(512),
        unanswered_first: true,
        handshake: Duration::from_secs(10),
        idle: Duration::from_secs(120),
        head: Duration::from_secs(10),
        head_size: 16 * 1024,
        body: BodyRate {
            grace: Duration::from_secs(5),
            bytes_per_second: 16 * 1024,
        },
        answer: Duration::from_secs(30),
        age: Some(Duration::from_secs(300)),
        last_answers: Duration::from_secs(10),
    };

    /// When a connection that has been in this stage since then is closed.
    pub(super) fn deadline(&self, stage: Stage, since: Instant) -> Option<Instant> {
        match stage {
            Stage::Idle => since.checked_add(self.idle),
            Stage::Head => since.checked_add(self.head),
            // The service has its own deadlines, and the body has its rate.
            Stage::Receiving | Stage::Busy => None,
            Stage::Writing | Stage::Flushing => since.checked_add(self.answer),
        }
    }

    /// The age at which a client's connection is asked to close.
    pub(super) fn age(&self, port: u16) -> Option<Duration> {
        const STEPS: u16 = 64;
        let age = self.age?;
        Some(age + age * u32::from(port % STEPS) / (5 * u32::from(STEPS)))
    }
}

impl BodyRate {
    /// How long a client may keep the service waiting, in all, for this many bytes.
    pub(super) fn allowance(&self, received: u64) -> Duration {
        let rate = f64::from(self.bytes_per_second.max(1));
        // Exact up to 8 PiB.
        self.grace + Duration::from_secs_f64(received as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_simultaneous_connections_at_different_times() {
        let age = |port| Limits::DEFAULT.age(port).unwrap();
        assert_eq!(age(64), Duration::from_secs(300));
        assert_ne!(age(65), age(66));
        assert!((0..=u16::MAX).all(|port| age(port) < Duration::from_secs(360)));
    }

    proptest! {
        #[test]
        fn the_allowance_grows_with_the_bytes(received in any::<u32>(), more in 1_u64..1 << 20) {
            let rate = BodyRate { grace: Duration::from_secs(5), bytes_per_second: 4096 };
            let (before, after) = (
                rate.allowance(received.into()),
                rate.allowance(u64::from(received) + more),
            );
            prop_assert!(before >= rate.grace && after > before);
            let seconds = Duration::from_secs_f64(more as f64 / 4096.0);
            prop_assert!((after - before).abs_diff(seconds) < Duration::from_micros(1));
        }
    }
}
