//! SIGTERM and SIGINT, and when they end the proxy.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::config::Shutdown;

/// Handlers for SIGTERM and SIGINT. While they exist, the signals do not end the process by default.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when it is time to end: at the first signal or, when lingering, at the second.
    pub(crate) async fn end(&mut self, shutdown: Shutdown) {
        self.next().await;
        if shutdown == Shutdown::Linger {
            info!(
                "received a signal; serving until the grace period ends or a second signal comes"
            );
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
