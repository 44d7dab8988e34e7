//! Reserves one core for the server; everything else runs on the others.

use std::fs;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The split of this machine's cores.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    load: CpuSet,
    server: CpuSet,
}

impl Cores {
    /// Reserves the last core of this process for the server. This thread, and all that it starts from
    /// now on, run on the others.
    ///
    /// # Errors
    ///
    /// When there is only one core.
    pub fn split() -> Result<Self> {
        let mut load =
            sched_getaffinity(THIS_THREAD).context("cannot read this machine's cores")?;
        let mut usable: Vec<usize> = (0..CpuSet::count())
            .filter(|core| load.is_set(*core).unwrap_or(false))
            .collect();
        let Some(last) = usable.pop().filter(|_| !usable.is_empty()) else {
            bail!("two cores are needed, for the server and for the load: this machine has one");
        };
        let mut server = CpuSet::new();
        server.set(last)?;
        load.unset(last)?;
        sched_setaffinity(THIS_THREAD, &load).context("cannot leave the server's core")?;
        Ok(Self { load, server })
    }

    /// Moves every process of this PID namespace off the server's core, with everything that they start
    /// from now on.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn clear(&self) -> Result<()> {
        for process in fs::read_dir("/proc")
            .context("cannot list the processes")?
            .flatten()
        {
            let Ok(threads) = fs::read_dir(process.path().join("task")) else {
                continue;
            };
            for thread in threads.flatten() {
                if let Some(id) = thread.file_name().to_str().and_then(|id| id.parse().ok()) {
                    // It may have ended meanwhile.
                    let _ = sched_setaffinity(Pid::from_raw(id), &self.load);
                }
            }
        }
        Ok(())
    }

    /// Runs `start` on the server's core: a process that it starts stays there.
    ///
    /// # Errors
    ///
    /// Those of `start`, or when the kernel refuses the move.
    pub fn on_the_servers<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        sched_setaffinity(THIS_THREAD, &self.server).context("cannot go to the server's core")?;
        let outcome = start();
        sched_setaffinity(THIS_THREAD, &self.load).context("cannot leave the server's core")?;
        outcome
    }
}

const THIS_THREAD: Pid = Pid::from_raw(0);
