//! Runs a step's commands, with their output in a file, and prints its progress.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use testkit::process::end_of_log;

/// The interval of messages that a long command is still running.
const REMINDER: Duration = Duration::from_secs(30);

/// A step's log file.
pub(super) struct Log {
    path: PathBuf,
    number: String,
    started: Instant,
}

impl Log {
    /// Starts the log of the step with this number (`[2/5]`), and overwrites an earlier one.
    pub(super) fn create(cache: &Cache, number: &str) -> Result<Self> {
        let folder = cache.entry("logs");
        create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let name: String = number
            .chars()
            .take_while(|c| *c != '/')
            .filter(char::is_ascii_digit)
            .collect();
        let path = folder.join(format!("prepare-{name}.log"));
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path,
            number: number.to_owned(),
            started: Instant::now(),
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or fails: with the end of its output.
    pub(super) fn run(&self, command: &mut Command) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut log = OpenOptions::new().append(true).open(&self.path)?;
        writeln!(log, "$ {command:?}")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let status = self.wait(child)?;
        if !status.success() {
            bail!("{program} ended with {status}; {}", end_of_log(&self.path));
        }
        Ok(())
    }

    /// The time since the step began.
    pub(super) fn elapsed(&self) -> String {
        spell(self.started.elapsed().as_secs())
    }

    fn wait(&self, mut child: Child) -> Result<ExitStatus> {
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            scope.spawn(move || sender.send(child.wait()));
            loop {
                match receiver.recv_timeout(REMINDER) {
                    Ok(status) => return Ok(status?),
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("{} still running after {}", self.number, self.elapsed());
                    }
                    Err(RecvTimeoutError::Disconnected) => bail!("cannot wait for a child process"),
                }
            }
        })
    }
}

/// A readable duration: `8m05s`, `12s`.
fn spell(seconds: u64) -> String {
    match seconds / 60 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{:02}s", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_times() {
        assert_eq!(spell(12), "12s");
        assert_eq!(spell(485), "8m05s");
    }
}
