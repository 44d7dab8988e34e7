//! `cluster run`, outside of the namespaces: makes them, starts process 1 in them, forwards signals, and
//! returns the command's exit code when everything has ended.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, id};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, Uid};

use crate::arguments::Run;
use crate::cgroup::Cgroup;
use crate::{exit, init, prepare};

/// Runs the command on a new node.
///
/// # Errors
///
/// When something cannot be installed or built, or this process is not root.
pub fn run(run: &Run) -> Result<ExitCode> {
    if !Uid::effective().is_root() {
        bail!("a node needs root, to make namespaces, mounts and cgroups");
    }
    prepare::prepare(&run.prepare.kubernetes)?;
    if let Some(logs) = &run.logs {
        std::fs::create_dir_all(logs).with_context(|| format!("cannot make {}", logs.display()))?;
    }
    let name = cgroup_name();
    let cgroup = Cgroup::named(&name)?;
    cgroup.create()?;
    let outcome = in_namespaces(&name);
    cgroup.remove()?;
    outcome
}

/// A unique name. Process ids may repeat in other pid namespaces, hence the time.
fn cgroup_name() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("cluster-{}-{:x}", id(), now.as_nanos())
}

fn in_namespaces(cgroup: &str) -> Result<ExitCode> {
    let signals = init::signals();
    signals.thread_block()?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS,
    )
    .context("cannot make namespaces")?;
    // Private to the machine, but shared within: the kubelet's mounts must reach containerd and the pods.
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | propagation,
            None::<&str>,
        )
        .context("cannot detach the mounts")?;
    }
    let child = Command::new("/proc/self/exe")
        .arg0("cluster")
        .args(["init", "--cgroup", cgroup])
        .args(env::args_os().skip(2))
        .spawn()
        .context("cannot start process 1 of the node")?;
    wait(Pid::from_raw(child.id().cast_signed()), &signals)
}

/// Waits for process 1. The kernel reports its end after that of every other process of its namespace.
fn wait(child: Pid, signals: &SigSet) -> Result<ExitCode> {
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = exit::of_waited(waitpid(child, Some(WaitPidFlag::WNOHANG))?) {
                    return Ok(code);
                }
            }
            _ => kill(child, Signal::SIGTERM)?,
        }
    }
}
