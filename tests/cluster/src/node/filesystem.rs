//! What the node changes on a machine, put where it is the node's alone: file systems in memory over
//! the places that are written to, and copies over the kernel settings that the kubelet sets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use super::FOLDER;

/// The components' logs.
pub(super) const LOGS: &str = "/run/cluster/logs";

/// Where something of the node writes: sockets and all of the run's files, logs of pods, and the
/// results that containerd's CNI library keeps. A machine that had no folder for these gets it, empty.
const IN_MEMORY: [&str; 3] = ["/run", "/var/log", CNI];
const CNI: &str = "/var/lib/cni";

/// The whole machine's settings that the kubelet sets (its `setupKernelTunables`), each with the
/// value that it wants to find.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Mounts it all; `logs` is a directory of the user's that is to hold the logs.
pub(super) fn set_up(logs: Option<&Path>) -> Result<()> {
    for path in IN_MEMORY {
        make(path)?;
        mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=755"),
        )
        .with_context(|| format!("cannot mount a file system in memory on {path}"))?;
    }
    make("/run/lock")?;
    fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))?;
    make(LOGS)?;
    if let Some(logs) = logs {
        bind(logs, Path::new(LOGS))?;
    }
    KERNEL_SETTINGS
        .iter()
        .try_for_each(|(name, value)| shadow(name, value))
}

/// Puts a copy with this value over a setting: what the kubelet writes stays there.
fn shadow(name: &str, value: &str) -> Result<()> {
    let copy = Path::new(FOLDER).join(name.replace('/', "."));
    fs::write(&copy, format!("{value}\n"))
        .with_context(|| format!("cannot write {}", copy.display()))?;
    bind(&copy, &Path::new("/proc/sys").join(name))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .with_context(|| format!("cannot mount {} on {}", source.display(), target.display()))
}

fn make(path: &str) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {path}"))
}
