//! Time: what applications read off their clock, and what has really passed.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since the machine started, time asleep included. Never steps.
    pub boot: Duration,
    /// Since 1970. Steps whenever somebody sets the clock.
    pub wall: Duration,
}

/// Where readings come from.
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
    // Every Linux that containers run on has both clocks.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
