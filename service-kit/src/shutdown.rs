//! The end of a process: signals, and the phases that they lead to.
//!
//! A binary decides which signal or timer begins which phase; listeners and readiness follow it
//! through a [`Shutdown`].

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A stage of the process's life. Later stages are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    #[default]
    Serving,
    /// Serving, but every answer asks its client to close the connection.
    Draining,
    /// No new connection is accepted; requests under way are finished.
    Closed,
}

/// Changes the phase. Dropping it closes.
#[derive(Debug, Default)]
pub struct Control(watch::Sender<Phase>);

impl Control {
    /// Begins a phase. A phase that is already over does not come back.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let is_later = phase > *current;
            *current = phase.max(*current);
            is_later
        });
    }

    /// A view of the phase.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }
}

/// A view of the phase. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Phase>);

impl Shutdown {
    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until the phase is this one or a later one.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the control is gone, which closes.
        let _ = self.0.wait_for(|current| *current >= phase).await;
    }
}

/// SIGTERM and SIGINT. Once taken, they no longer end the process by themselves. The first process
/// of a container has to take them: the kernel ignores them for it otherwise.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over. Needs a runtime.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn take() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_never_goes_back() {
        let control = Control::default();
        let mut shutdown = control.shutdown();
        assert_eq!(shutdown.phase(), Phase::Serving);
        control.enter(Phase::Closed);
        control.enter(Phase::Draining);
        shutdown.reached(Phase::Draining).await;
        assert_eq!(shutdown.phase(), Phase::Closed);
    }

    #[tokio::test]
    async fn dropping_the_control_closes() {
        let mut shutdown = Control::default().shutdown();
        shutdown.reached(Phase::Closed).await;
    }
}
