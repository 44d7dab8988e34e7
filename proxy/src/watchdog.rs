//! Ends a program whose runtime hangs, so that kubelet restarts it. A liveness probe would notice too,
//! but costs a process in every pod for each check, and fails on a node that is only slow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Starts to watch the current runtime. `hung` is called once, from another thread, when the runtime
/// has run nothing for three times `interval`.
///
/// While the process is stopped or the machine sleeps, neither heartbeats nor checks go on, so that
/// time does not count.
///
/// # Errors
///
/// No thread can be started.
pub(crate) fn start(interval: Duration, hung: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let beats = Arc::new(AtomicU64::new(0));
    let heart = Arc::downgrade(&beats);
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let mut watch = Watch::default();
            // The heartbeat ends with its runtime.
            while let Some(beats) = heart.upgrade() {
                if watch.is_hung(beats.load(Ordering::Relaxed)) {
                    return hung();
                }
                drop(beats);
                std::thread::sleep(interval);
            }
        })?;
    tokio::spawn(async move {
        loop {
            beats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(interval / 2).await;
        }
    });
    Ok(())
}

/// The last count of heartbeats, and how many checks in a row saw it.
#[derive(Debug, Default)]
struct Watch {
    beats: u64,
    unchanged: u32,
}

impl Watch {
    /// Whether three checks in a row saw the same count.
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

/// Bytes: enough to check, sleep and write a log line.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn three_checks_without_a_heartbeat_mean_a_hang() {
        let mut watch = Watch::default();
        let counts = [1, 1, 1, 2, 2, 2, 2, 2];
        let seen = counts.map(|beats| watch.is_hung(beats));
        assert_eq!(seen, [false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn notices_a_hung_runtime() {
        let (noticed, notice) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            start(Duration::from_millis(20), move || noticed.send(()).unwrap()).unwrap();
            tokio::task::yield_now().await;
            // Blocks the runtime's only thread.
            notice.recv_timeout(Duration::from_secs(60)).unwrap();
        });
    }
}
