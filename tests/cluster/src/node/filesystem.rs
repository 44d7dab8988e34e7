//! Keeps the node's changes off the machine: mounts file systems in memory over the folders that the
//! node writes to, and copies over the kernel settings that the kubelet sets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use super::{FOLDER, network};

/// The components' logs.
pub(super) const LOGS: &str = "/run/cluster/logs";

/// Names the node's name server, the only one. Pods have it too.
pub(super) const RESOLV_CONF: &str = "/run/cluster/resolv.conf";

/// The folders that the node writes to: sockets and the run's files, logs of pods, and the results of
/// containerd's CNI library. If the machine has no such folder, an empty one is left there.
const IN_MEMORY: [&str; 3] = ["/run", "/var/log", CNI];
const CNI: &str = "/var/lib/cni";

/// A `/proc` without the copies of [`KERNEL_SETTINGS`]. The kernel lets a pod in its own user namespace have a `/proc`
/// only where a whole one is mounted.
const PROC: &str = "/run/cluster/proc";

/// The machine-wide settings that the kubelet sets (its `setupKernelTunables`), each with the value that
/// it expects.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Mounts everything. `logs` is the user's directory for the logs, if there is one.
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
    fs::write(RESOLV_CONF, format!("nameserver {}\n", network::NODE))
        .with_context(|| format!("cannot write {RESOLV_CONF}"))?;
    // For programs that run on the node itself, such as azwi.
    bind(Path::new(RESOLV_CONF), Path::new("/etc/resolv.conf"))?;
    make(PROC)?;
    mount(
        Some("proc"),
        PROC,
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot mount {PROC}"))?;
    KERNEL_SETTINGS
        .iter()
        .try_for_each(|(name, value)| shadow(name, value))
}

/// Mounts a copy with this value over a setting, so that the kubelet writes to the copy.
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
