//! When to end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::config::Shutdown;

/// SIGTERM and SIGINT. From its making on they no longer end the process by themselves, which they
/// would not do to the first process of a container anyway.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Ready when it is time to end: at the first signal or, lingering, at the second.
    pub(crate) async fn end(&mut self, shutdown: Shutdown) {
        self.next().await;
        if shutdown == Shutdown::Linger {
            info!("asked to end: serving on until the grace period is over or a second signal");
            self.next().await;
        }
        info!("ending");
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
