//! A program under attack: its process, its memory and its log.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::process::end_of_log;
use tokio::time::{Instant, sleep};

use crate::answer::contains;
use crate::limit::Limit;

/// A running program. It is killed when this is dropped.
pub struct Program {
    name: &'static str,
    child: Child,
    limit: Option<Limit>,
    log: PathBuf,
    read: u64,
    unfinished: Vec<u8>,
    secrets: Vec<String>,
}

impl Program {
    /// Starts a command, with its output in `log` and, where there is one, under a limit. None of the secrets may
    /// be in the log.
    ///
    /// # Panics
    ///
    /// When the program cannot be started, or the log not be written.
    #[must_use]
    pub fn start(
        name: &'static str,
        mut command: Command,
        limit: Option<Limit>,
        log: PathBuf,
        secrets: Vec<String>,
    ) -> Self {
        if let Some(limit) = &limit {
            command = limit.around(&command);
        }
        let file = File::create(&log).expect("the log can be written");
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self {
            name,
            child,
            limit,
            log,
            read: 0,
            unfinished: Vec::new(),
            secrets,
        }
    }

    /// Checks it again and again until `deadline`, and returns its peak of memory in KiB.
    ///
    /// # Errors
    ///
    /// When it has ended, its memory has passed `limit` KiB, or its log has a secret.
    pub async fn watch(mut self, deadline: Instant, limit: u64) -> Result<(Self, u64), String> {
        let mut peak = 0;
        loop {
            let is_last = Instant::now() >= deadline;
            if let Some(now) = memory(self.child.id()) {
                peak = peak.max(now);
            }
            self.check(peak, limit)
                .map_err(|reason| format!("{} {reason}; {}", self.name, end_of_log(&self.log)))?;
            if is_last {
                return Ok((self, peak));
            }
            sleep(PAUSE).await;
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn check(&mut self, peak: u64, limit: u64) -> Result<(), String> {
        let kills = self.limit.as_ref().map_or(0, Limit::kills);
        if kills > 0 {
            return Err(format!(
                "was killed by the kernel {kills} times: more memory than its container has"
            ));
        }
        if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("ended with {status}"));
        }
        if peak > limit {
            return Err(format!(
                "took {peak} KiB of memory, and its container has {limit}"
            ));
        }
        self.read_log().map_err(|error| error.to_string())?;
        let end = self
            .unfinished
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.unfinished.drain(..end).collect();
        lines
            .split(|byte| *byte == b'\n')
            .try_for_each(|line| check_line(line, &self.secrets))
    }

    fn read_log(&mut self) -> std::io::Result<()> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.read))?;
        self.read += file.read_to_end(&mut self.unfinished)? as u64;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The peak of the memory that the container's limit counts and the kernel cannot take back: without the
/// pages of the executable, of which a debug build has many. In KiB.
fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(kib("VmHWM:")?.saturating_sub(kib("RssFile:")?))
}

/// Checks a line of a log.
fn check_line(line: &[u8], secrets: &[String]) -> Result<(), String> {
    let shown = || String::from_utf8_lossy(&line[..line.len().min(LONGEST_LINE)]).into_owned();
    if line.len() > LONGEST_LINE {
        return Err(format!(
            "logged a line of {} bytes: {}",
            line.len(),
            shown()
        ));
    }
    let is_secret = |secret: &String| contains(line, secret.as_bytes());
    // Every JSON web token begins like this: it is `{"` in base64.
    if contains(line, b"eyJ") || contains(line, b"PRIVATE KEY") || secrets.iter().any(is_secret) {
        return Err(format!("logged a secret: {}", shown()));
    }
    if str::from_utf8(line).is_err() || line.iter().any(|byte| byte.is_ascii_control()) {
        return Err(format!(
            "logged control characters or what is not UTF-8: {}",
            shown()
        ));
    }
    Ok(())
}

/// The time between two checks.
const PAUSE: Duration = Duration::from_millis(50);

/// No line of a log is longer, in bytes.
const LONGEST_LINE: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    async fn watched(script: &str, limit: u64) -> Result<u64, String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("adversary-test-{}-{number}.log", std::process::id());
        let log = std::env::temp_dir().join(name);
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let program = Program::start(
            "sh",
            command,
            None,
            log.clone(),
            vec!["secret-1".to_owned()],
        );
        let watched = program
            .watch(Instant::now() + Duration::from_secs(2), limit)
            .await;
        let _ = std::fs::remove_file(log);
        watched.map(|(_, peak)| peak)
    }

    #[tokio::test]
    async fn accepts_a_program_that_runs_and_logs_nothing_secret() {
        assert!(watched("echo ready; exec sleep 60", 65_536).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn finds_a_program_that_ended() {
        let reason = watched("exit 3", 65_536).await.unwrap_err();
        assert!(reason.contains("ended with exit status: 3"), "{reason}");
    }

    #[tokio::test]
    async fn finds_a_program_above_its_limit() {
        let reason = watched("exec sleep 60", 1).await.unwrap_err();
        assert!(
            reason.contains("KiB of memory, and its container has 1"),
            "{reason}"
        );
    }

    /// Only root can make a cgroup.
    #[tokio::test]
    async fn finds_a_program_that_its_cgroup_kills() {
        let limit = match Limit::new("test", 16 * 1024) {
            Ok(limit) => limit,
            Err(error) => {
                let sentence = error.to_string();
                assert!(sentence.contains("The adversary needs root"), "{sentence}");
                return;
            }
        };
        let log = std::env::temp_dir().join(format!("adversary-test-{}", std::process::id()));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done"]);
        let program = Program::start("sh", command, Some(limit), log.clone(), Vec::new());
        let minute = Instant::now() + Duration::from_secs(60);
        let reason = program.watch(minute, u64::MAX).await.err();
        let _ = std::fs::remove_file(log);
        assert!(reason.is_some_and(|it| it.contains("was killed by the kernel")));
    }

    #[tokio::test]
    async fn finds_secrets_in_a_log() {
        for line in ["x secret-1 y", "token eyJhbGciOi", "BEGIN PRIVATE KEY"] {
            let reason = watched(&format!("echo '{line}'; exec sleep 60"), 65_536)
                .await
                .unwrap_err();
            assert!(reason.contains("logged a secret"), "{line}: {reason}");
        }
    }

    #[tokio::test]
    async fn finds_control_characters_in_a_log() {
        let reason = watched(r"printf 'a\033[2Jb\n'; exec sleep 60", 65_536)
            .await
            .unwrap_err();
        assert!(reason.contains("control characters"), "{reason}");
    }
}
