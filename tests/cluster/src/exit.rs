//! Exit codes of other processes, as a shell reports them.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

/// The code of a process that ended, or 128 and the number of the signal that ended it.
pub(crate) fn of(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => code_of(code),
        (None, signal) => code_of(128 + signal.unwrap_or(0)),
    }
}

/// The same for a status of `waitpid`; `None` while the process lives.
pub(crate) fn of_waited(status: WaitStatus) -> Option<ExitCode> {
    match status {
        WaitStatus::Exited(_, code) => Some(code_of(code)),
        WaitStatus::Signaled(_, signal, _) => Some(of_signal(signal)),
        _ => None,
    }
}

/// The code of a process that a signal ended.
pub(crate) fn of_signal(signal: Signal) -> ExitCode {
    code_of(128 + signal as i32)
}

fn code_of(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
