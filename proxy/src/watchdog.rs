//! Ends a program that hangs, so that kubelet starts it anew. A probe of kubelet's would see a hung
//! runtime too, but costs a process in every pod each time, and fails on a node that is merely slow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Starts to watch the runtime that this is called in. `hung` is called once, from another thread,
/// when the runtime has run nothing for three times `patience`.
///
/// Neither beats nor checks go on while the process is stopped or the machine sleeps, so that does
/// not count.
///
/// # Errors
/// When no thread can be started.
pub fn start(patience: Duration, hung: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let beats = Arc::new(AtomicU64::new(0));
    let heart = Arc::downgrade(&beats);
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let mut watch = Watch::default();
            // The heart ends with its runtime.
            while let Some(beats) = heart.upgrade() {
                if watch.is_hung(beats.load(Ordering::Relaxed)) {
                    return hung();
                }
                drop(beats);
                std::thread::sleep(patience);
            }
        })?;
    tokio::spawn(async move {
        loop {
            beats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(patience / 2).await;
        }
    });
    Ok(())
}

/// What was seen of the beats so far.
#[derive(Debug, Default)]
struct Watch {
    beats: u64,
    unchanged: u32,
}

impl Watch {
    /// Whether the beats have not changed for three looks.
    fn is_hung(&mut self, beats: u64) -> bool {
        self.unchanged = if beats == self.beats {
            self.unchanged + 1
        } else {
            0
        };
        self.beats = beats;
        self.unchanged >= 3
    }
}

/// Enough for a look, a sleep and a log line.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn three_looks_without_a_beat_are_too_many() {
        let mut watch = Watch::default();
        let looks = [1, 1, 1, 2, 2, 2, 2, 2];
        let seen = looks.map(|beats| watch.is_hung(beats));
        assert_eq!(seen, [false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn a_hung_runtime_is_noticed() {
        let (noticed, notice) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            start(Duration::from_millis(20), move || noticed.send(()).unwrap()).unwrap();
            tokio::task::yield_now().await;
            // The runtime's only thread does nothing else until that.
            notice.recv_timeout(Duration::from_secs(60)).unwrap();
        });
    }
}
