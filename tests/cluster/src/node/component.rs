//! The node's long-running processes. Each has its own log; the failure of any one ends the node.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use super::{End, FOLDER, filesystem, flags, kubeconfig};
use crate::prepare::Tools;
use testkit::process::end_of_log;

/// Starts components, and reports when one fails.
pub(super) struct Components {
    programs: OsString,
    ends: Sender<End>,
}

impl Components {
    pub(super) fn new(ends: Sender<End>) -> Self {
        Self {
            programs: OsString::new(),
            ends,
        }
    }

    /// Sets the `PATH` of all components and commands.
    pub(super) fn use_programs(&mut self, path: OsString) {
        self.programs = path;
    }

    /// The `PATH` of all components and commands.
    pub(super) fn programs(&self) -> &OsStr {
        &self.programs
    }

    /// A program with a clean environment, without the user's variables such as web proxies.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.programs)
            .env("HOME", FOLDER)
            .env("KUBECONFIG", kubeconfig::ADMIN)
            .stdin(Stdio::null());
        command
    }

    /// A Kubernetes component: the one binary, called with the component's name.
    pub(super) fn kubernetes(&self, tools: &Tools, name: &str) -> Command {
        let mut command = self.command(&tools.kubernetes);
        command.arg0(name);
        command
    }

    /// Starts a component in its own process group, so that it does not get the terminal's Ctrl-C. A
    /// component that exits with 0 or ends by the SIGTERM of a test is started again, with the flags that the test
    /// has set.
    pub(super) fn start(&self, name: &'static str, mut command: Command) -> Result<()> {
        let path = log(name);
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        command
            .stdout(file.try_clone()?)
            .stderr(file.try_clone()?)
            .process_group(0);
        let mut child = spawn(name, &mut command)?;
        let ends = self.ends.clone();
        thread::spawn(move || {
            let ended = loop {
                match child.wait() {
                    Ok(status) if is_restart(status) => {}
                    Ok(status) => {
                        break anyhow!("{name} ended with {status}; {}", end_of_log(&log(name)));
                    }
                    Err(error) => break anyhow!("cannot wait for {name}: {error}"),
                }
                let again = flags::applied(name, &command).and_then(|changed| {
                    let Some(mut changed) = changed else {
                        return spawn(name, &mut command);
                    };
                    changed.stdout(file.try_clone()?).stderr(file.try_clone()?);
                    spawn(name, &mut changed)
                });
                child = match again {
                    Ok(child) => child,
                    Err(error) => break error,
                };
            };
            ends.send(End::Component(ended))
        });
        Ok(())
    }

    /// Runs a short command to its end and returns its output.
    pub(super) fn run(&self, command: &mut Command) -> Result<String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command
            .output()
            .with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{command:?} ended with {}: {}",
                output.status,
                errors.trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A component that has just begun has no handler yet, and a SIGTERM ends it.
fn is_restart(status: ExitStatus) -> bool {
    const SIGTERM: i32 = 15;
    status.success() || status.signal() == Some(SIGTERM)
}

fn spawn(name: &str, command: &mut Command) -> Result<Child> {
    command
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

/// A component's log.
pub(super) fn log(name: &str) -> PathBuf {
    Path::new(filesystem::LOGS).join(format!("{name}.log"))
}
