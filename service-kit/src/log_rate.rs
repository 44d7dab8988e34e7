//! Limits the rate of log lines that a client can cause, so that a flood of requests fills no disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The rate of one kind of line: 100 in 10 s.
#[derive(Debug, Default)]
pub struct LogRate(Mutex<State>);

/// A line that may be logged.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Lines of its kind that were not logged since the last one, if there are any.
    pub suppressed: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    window: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogRate {
    /// Counts a line. `None` if it is not to be logged.
    #[must_use]
    pub fn line(&self) -> Option<Line> {
        self.line_at(Instant::now())
    }

    fn line_at(&self, now: Instant) -> Option<Line> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |start: Instant| now.saturating_duration_since(start) >= WINDOW;
        if state.window.is_none_or(is_over) {
            (state.window, state.lines) = (Some(now), 0);
        }
        if state.lines >= LINES {
            state.suppressed += 1;
            return None;
        }
        state.lines += 1;
        let suppressed = std::mem::take(&mut state.suppressed);
        Some(Line {
            suppressed: (suppressed > 0).then_some(suppressed),
        })
    }
}

/// More than an application causes that works.
const LINES: u32 = 100;

const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppresses_lines_beyond_the_rate_and_counts_them() {
        let (rate, start) = (LogRate::default(), Instant::now());
        let count = |at| (0..250).filter_map(|_| rate.line_at(at)).count();
        assert_eq!(count(start), 100);
        let later = start + WINDOW;
        let suppressed = Some(150);
        assert_eq!(rate.line_at(later), Some(Line { suppressed }));
        let suppressed = None;
        assert_eq!(rate.line_at(later), Some(Line { suppressed }));
        assert_eq!(count(later), 98);
    }
}
