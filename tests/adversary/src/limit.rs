//! A memory limit as a container has it: a cgroup of the memory controller, of version 1 or 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use thiserror::Error;

/// A cgroup with a limit. It is removed when this is dropped; its processes have to have ended.
#[derive(Debug)]
pub struct Limit {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// There is no cgroup.
#[derive(Debug, Error)]
#[error(
    "cannot limit memory with the cgroup {}: {source}. The adversary needs root, and the memory controller \
     at {V1} or in {V2}/cgroup.controllers",
    folder.display()
)]
pub struct LimitError {
    folder: PathBuf,
    source: io::Error,
}

impl Limit {
    /// A cgroup for one program, with so many KiB.
    ///
    /// # Errors
    ///
    /// When this process may not make it, or the kernel has no memory controller.
    pub fn new(name: &str, kib: u64) -> Result<Self, LimitError> {
        let version = if Path::new(V1).join("memory.limit_in_bytes").exists() {
            Version::One
        } else {
            Version::Two
        };
        let root = if version == Version::One { V1 } else { V2 };
        let name = format!("adversary-{}-{name}", std::process::id());
        let limit = Self {
            folder: Path::new(root).join(name),
            version,
        };
        match limit.make(kib) {
            Ok(()) => Ok(limit),
            Err(source) => Err(LimitError {
                folder: limit.folder.clone(),
                source,
            }),
        }
    }

    fn make(&self, kib: u64) -> io::Result<()> {
        let file = match self.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => {
                fs::write(Path::new(V2).join("cgroup.subtree_control"), "+memory")?;
                "memory.max"
            }
        };
        fs::create_dir(&self.folder)?;
        fs::write(self.folder.join(file), (kib * 1024).to_string())
    }

    /// The command, which enters the cgroup before its program starts.
    #[must_use]
    pub fn around(&self, command: &Command) -> Command {
        let mut limited = Command::new("/bin/sh");
        limited
            .args(["-c", r#"echo $$ >"$0" && exec "$@""#])
            .arg(self.folder.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                limited.env(name, value);
            }
        }
        limited
    }

    /// How many of its processes the kernel has killed.
    #[must_use]
    pub fn kills(&self) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // It stays busy for a moment after its last process.
        for _ in 0..100 {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}

const V1: &str = "/sys/fs/cgroup/memory";
const V2: &str = "/sys/fs/cgroup";
