//! The run's own cgroup, in every hierarchy of the machine. It contains the pods, so that runs are
//! isolated, and removing it removes everything that they left.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use testkit::poll;

/// How long a cgroup may stay busy after its last process was killed.
const BUSY: Duration = Duration::from_secs(20);

/// One name, in each cgroup hierarchy (one in version 2, one a controller in version 1).
#[derive(Debug)]
pub struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// Finds the hierarchies among this process's mounts, without making the cgroup.
    ///
    /// # Errors
    ///
    /// When `/proc` is not there, or no cgroup hierarchy is mounted.
    pub fn named(name: &str) -> Result<Self> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
        let hierarchies = hierarchies(&mounts);
        if hierarchies.is_empty() {
            bail!("no cgroup hierarchy is mounted: mount one at /sys/fs/cgroup");
        }
        Ok(Self(
            hierarchies
                .into_iter()
                .map(|path| path.join(name))
                .collect(),
        ))
    }

    /// Makes the cgroup in every hierarchy.
    ///
    /// # Errors
    ///
    /// When a hierarchy is read-only, as in a container without its own.
    pub fn create(&self) -> Result<()> {
        for path in &self.0 {
            fs::create_dir(path)
                .with_context(|| format!("cannot make cgroup {}", path.display()))?;
        }
        Ok(())
    }

    /// Removes it and everything below it. Waits while killed processes leave. A cgroup that is gone
    /// already is no error.
    ///
    /// # Errors
    ///
    /// When processes are left in it.
    pub fn remove(&self) -> Result<()> {
        for path in &self.0 {
            let what = format!("cgroup {} to be empty", path.display());
            let is_settled = |removed: &Result<(), Error>| !removed.as_ref().is_err_and(is_busy);
            poll::blocking(BUSY, &what, || remove_tree(path), is_settled)?
                .with_context(|| format!("cannot remove cgroup {}", path.display()))?;
        }
        Ok(())
    }
}

/// The mount points of the file systems `cgroup` and `cgroup2` (proc_pid_mountinfo(5): the mount
/// point is field 5, the type is the first field after the lone dash).
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let kind = after.split(' ').next()?;
            let point = before.split(' ').nth(4)?;
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
        })
        .collect()
}

/// Removes the folders alone: the kernel removes a cgroup's files with it.
fn remove_tree(path: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_busy(error: &Error) -> bool {
    error.raw_os_error() == Some(Errno::EBUSY as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_both_versions_and_nothing_else() {
        let mountinfo = "\
25 1 254:0 / / rw - ext4 /dev/vda rw
31 30 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu
33 31 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        assert_eq!(
            hierarchies(mountinfo),
            [
                Path::new("/sys/fs/cgroup/cpu"),
                Path::new("/sys/fs/cgroup/unified")
            ]
        );
    }
}
