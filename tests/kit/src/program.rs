//! A program under test, and its log.

use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::poll;

/// A running program, whose standard error is its log. It is killed when this is dropped; a test that
/// fails prints the log.
pub struct Program {
    child: Child,
    id: u32,
    log: Log,
}

impl Program {
    /// Starts a command.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let log = Log::read(child.stderr.take().expect("standard error is piped"));
        let id = child.id().expect("it was just started");
        Self { child, id, log }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// As [`Log::logged`].
    ///
    /// # Panics
    ///
    /// When the deadline passes or the program ends: with its log.
    pub async fn logged(&self, text: &str) -> String {
        self.log.logged(text).await
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When the program has ended.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id).expect("a process id is small");
        kill(Pid::from_raw(id), signal).expect("the program runs");
    }

    /// Waits for the program's end and the rest of its log, at most a minute each.
    ///
    /// # Panics
    ///
    /// When the deadline passes: with its log.
    pub async fn ended(&mut self) -> ExitStatus {
        let waited = tokio::time::timeout(poll::MINUTE, self.child.wait()).await;
        let status = waited
            .unwrap_or_else(|_| panic!("waited {:?} for the end: {:#?}", poll::MINUTE, self.log()));
        self.log.ended().await;
        status.expect("it can be waited for")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of process {}:", self.id);
            for line in self.log() {
                eprintln!("  | {line}");
            }
        }
    }
}

/// The lines of a log, read as they come.
pub struct Log(watch::Receiver<Vec<String>>);

impl Log {
    /// Reads to the end, in a task of the current runtime.
    #[must_use]
    pub fn read(source: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (lines, log) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut reader = BufReader::new(source).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.send_modify(|log| log.push(line));
            }
        });
        Self(log)
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Waits for a line that contains `text`, at most a minute, and returns the first one.
    ///
    /// # Panics
    ///
    /// When the deadline passes or the log ends: with its lines.
    pub async fn logged(&self, text: &str) -> String {
        let find = |log: &Vec<String>| log.iter().find(|line| line.contains(text)).cloned();
        let what = format!("a log line with {text:?}");
        let log = poll::changed(&what, self.0.clone(), |log| find(log).is_some()).await;
        find(&log).expect("it was waited for")
    }

    /// Waits until every process that writes it has closed it, at most a minute.
    ///
    /// # Panics
    ///
    /// When the deadline passes.
    pub async fn ended(&self) {
        let mut log = self.0.clone();
        poll::event("the end of the log", async {
            while log.changed().await.is_ok() {}
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_a_line_and_keeps_the_log() {
        let mut program = shell("echo one >&2; echo two >&2; exit 3");
        assert_eq!(program.logged("tw").await, "two");
        assert_eq!(program.ended().await.code(), Some(3));
        assert_eq!(program.log(), ["one", "two"]);
    }

    #[tokio::test]
    #[should_panic(expected = "a log line with \"three\" does not come: [\"one\"]")]
    async fn reports_the_log_of_a_program_that_ended() {
        shell("echo one >&2").logged("three").await;
    }

    #[tokio::test]
    async fn signals_the_program() {
        let mut program = shell("trap 'exit 4' TERM; echo ready >&2; while :; do :; done");
        program.logged("ready").await;
        program.signal(Signal::SIGTERM);
        assert_eq!(program.ended().await.code(), Some(4));
    }

    fn shell(script: &str) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Program::start(command)
    }
}
