//! Notices that another program keeps replacing what this one writes.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The recent writes of one field. Two programs that both want it would write without end, ten times a second and
/// more.
#[derive(Debug, Default)]
pub(super) struct Contest(VecDeque<Instant>);

impl Contest {
    /// Records a write that is made now, unless there were too many: then the field is contested, and the write has
    /// to wait.
    pub(super) fn may_write(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|it| now - *it >= WINDOW) {
            self.0.pop_front();
        }
        let may = self.0.len() < MAX_WRITES;
        if may {
            self.0.push_back(now);
        }
        may
    }
}

/// More than a rotation and a nervous GitOps tool need.
const MAX_WRITES: usize = 10;
const WINDOW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_without_end_become_rare() {
        let mut contest = Contest::default();
        let mut written = 0;
        for _ in 0..600 {
            written += usize::from(contest.may_write(Instant::now()));
            advance(Duration::from_millis(100)).await;
        }
        assert_eq!(written, 2 * MAX_WRITES, "in a minute");
    }
}
