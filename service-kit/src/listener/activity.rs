//! The current stage of a connection, written by its task and read by the accept loop without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The current stage of a connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// Wakes a connection that waits until its address may have one more. Shared by an address.
    freed: Arc<Notify>,
    has_served: AtomicBool,
    leave: Notify,
    /// Whether the stage began since the last [`Self::settle`].
    moved: AtomicBool,
    /// The listener's start, from which `since` counts.
    start: Instant,
    /// When the stage began, in microseconds, unless it has `moved`.
    since: AtomicU64,
    stage: AtomicU8,
}

/// A stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// No byte of a request has come.
    Idle,
    /// The head of a request is coming.
    Head,
    /// The service has the head of a request, and its body is coming.
    Receiving,
    /// The service has the request, or its answer is being read.
    Busy,
    /// The answer is not complete, and waits for the client to read.
    Writing,
    /// The answer is complete, but the client has not taken all of it.
    Flushing,
}

impl Activity {
    /// The activity of a connection that was just accepted. `freed` is notified when it becomes idle.
    pub(super) fn new(start: Instant, freed: Arc<Notify>) -> Self {
        Self {
            freed,
            has_served: AtomicBool::new(false),
            leave: Notify::new(),
            moved: AtomicBool::new(false),
            start,
            since: AtomicU64::new(micros(start)),
            stage: AtomicU8::new(Stage::Idle as u8),
        }
    }

    /// Whether an answer of the service is being made or written. Bytes that are written at another
    /// time are hyper's own refusal of malformed HTTP.
    pub(super) fn is_answering(&self) -> bool {
        matches!(
            self.stage(),
            Stage::Receiving | Stage::Busy | Stage::Writing | Stage::Flushing
        )
    }

    /// Whether the service is making an answer, and waits for nothing from its client.
    pub(super) fn is_busy(&self) -> bool {
        self.stage() == Stage::Busy
    }

    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            HEAD => Stage::Head,
            RECEIVING => Stage::Receiving,
            BUSY => Stage::Busy,
            WRITING => Stage::Writing,
            FLUSHING => Stage::Flushing,
            _ => Stage::Idle,
        }
    }

    /// When the stage began: now, until it is settled.
    pub(super) fn since(&self) -> Instant {
        if self.moved.load(Ordering::Acquire) {
            return Instant::now();
        }
        self.start + Duration::from_micros(self.since.load(Ordering::Relaxed))
    }

    /// Takes the time once for all stages that began since the last call, as a request that is answered at once
    /// goes through four. The connection's task calls it each time it has driven the connection.
    pub(super) fn settle(&self) {
        if self.moved.load(Ordering::Relaxed) {
            self.since.store(micros(self.start), Ordering::Relaxed);
            self.moved.store(false, Ordering::Release);
        }
    }

    /// Whether a request has been answered.
    pub(super) fn has_served(&self) -> bool {
        self.has_served.load(Ordering::Relaxed)
    }

    /// Bytes have been read.
    pub(super) fn read(&self) {
        if self.stage() == Stage::Idle {
            self.enter(Stage::Head);
        }
    }

    /// The service has received the head of a request, whose body is coming.
    pub(super) fn receiving(&self) {
        self.enter(Stage::Receiving);
    }

    /// The body is complete, or the service does not want the rest of it.
    pub(super) fn received(&self) {
        if self.stage() == Stage::Receiving {
            self.begun();
        }
    }

    /// The service has received a request.
    pub(super) fn begun(&self) {
        self.enter(Stage::Busy);
    }

    /// Some of an answer was to be written. `is_blocked` is whether the client takes none of it now.
    pub(super) fn written(&self, is_blocked: bool) {
        match self.stage() {
            Stage::Busy if is_blocked => self.enter(Stage::Writing),
            Stage::Writing if !is_blocked => self.begun(),
            _ => {}
        }
    }

    /// The answer's body is complete.
    pub(super) fn answered(&self) {
        self.enter(Stage::Flushing);
    }

    /// Nothing is left to write.
    pub(super) fn flushed(&self) {
        if self.stage() == Stage::Flushing {
            self.has_served.store(true, Ordering::Relaxed);
            self.enter(Stage::Idle);
            self.freed.notify_one();
        }
    }

    /// Notified when a connection of the same address becomes idle or ends.
    pub(super) fn freed(&self) -> &Arc<Notify> {
        &self.freed
    }

    /// The connection has a place: its first stage begins.
    pub(super) fn entered(&self) {
        self.enter(Stage::Idle);
        self.settle();
    }

    /// Asks the connection to end.
    pub(super) fn leave(&self) {
        self.leave.notify_one();
    }

    /// Waits until the connection is to end.
    pub(super) async fn leaving(&self) {
        self.leave.notified().await;
    }

    fn enter(&self, stage: Stage) {
        self.moved.store(true, Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Release);
    }
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

const HEAD: u8 = Stage::Head as u8;
const RECEIVING: u8 = Stage::Receiving as u8;
const BUSY: u8 = Stage::Busy as u8;
const WRITING: u8 = Stage::Writing as u8;
const FLUSHING: u8 = Stage::Flushing as u8;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stage_begins_when_it_is_settled() {
        let activity = Activity::new(Instant::now(), Arc::default());
        advance(Duration::from_secs(1)).await;
        activity.read();
        assert_eq!(activity.since(), Instant::now());
        activity.settle();
        let settled = Instant::now();
        advance(Duration::from_secs(1)).await;
        activity.settle();
        assert_eq!(activity.since(), settled);
    }
}
