//! The wall clock that applications read, and the boot clock that measures elapsed time.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the machine started, including suspend. Never steps.
    pub boot: Duration,
    /// Time since 1970. Steps when the clock is set.
    pub wall: Duration,
}

/// A source of readings.
pub trait Clock: Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            boot: read(ClockId::CLOCK_BOOTTIME),
            wall: read(ClockId::CLOCK_REALTIME),
        }
    }
}

fn read(clock: ClockId) -> Duration {
    // Every Linux that runs containers has both clocks.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
