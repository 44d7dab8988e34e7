//! Process 1 of the node's namespaces: starts the node, reaps orphans, and ends everything when the
//! node ends, after a signal, or when the process outside dies.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use nix::unistd::Pid;

use crate::arguments::Inside;
use crate::cgroup::Cgroup;
use crate::exit;

/// Runs the node and ends everything after it.
///
/// # Errors
///
/// When the node cannot be started, or its cgroup cannot be removed.
pub fn init(inside: &Inside) -> Result<ExitCode> {
    let signals = signals();
    signals.thread_block()?;
    set_pdeathsig(Signal::SIGTERM)?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("cannot mount /proc")?;
    let node = Command::new("/proc/self/exe")
        .arg0("cluster")
        .arg("node")
        .args(env::args_os().skip(2))
        .spawn()
        .context("cannot start the node")?;
    let outcome = until_the_end(Pid::from_raw(node.id().cast_signed()), &signals);
    end_all()?;
    Cgroup::named(&inside.cgroup)?.remove()?;
    outcome
}

/// The signals that this process and the one outside wait for.
pub(crate) fn signals() -> SigSet {
    [
        Signal::SIGCHLD,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGTERM,
    ]
    .into_iter()
    .collect()
}

fn until_the_end(node: Pid, signals: &SigSet) -> Result<ExitCode> {
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = reap(node)? {
                    return Ok(code);
                }
            }
            signal => return Ok(exit::of_signal(signal)),
        }
    }
}

/// Reaps all processes that have ended. Returns the node's exit code when it is among them.
fn reap(node: Pid) -> Result<Option<ExitCode>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(status) if status.pid() == Some(node) => return Ok(exit::of_waited(status)),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills every other process of the namespace and waits until none is left.
fn end_all() -> Result<()> {
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => return Err(error).context("cannot kill the node's processes"),
    }
    loop {
        match wait() {
            Ok(_) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
