//! How the process ends.
//!
//! On SIGTERM the webhook says that it is not ready and asks every client to leave with its next
//! answer, but goes on serving: API servers use their open connections until they have heard, and
//! do not send a review twice (kubernetes#127335).

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long API servers have to hear that this replica leaves.
const DRAINING: Duration = Duration::from_secs(15);

/// The stage of the process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving, but asking clients to leave.
    Draining,
    /// Ending: what is under way is finished.
    Closed,
}

/// Waits until the process is at least so far.
pub async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // The sender is gone when the process is ending anyway.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Follows the process's phase until it is closed. A second signal closes at once.
///
/// # Errors
///
/// When signals cannot be received.
pub async fn run(phase: watch::Sender<Phase>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tracing::info!(
        seconds = DRAINING.as_secs(),
        "asked to end, serving on until API servers know"
    );
    phase.send_replace(Phase::Draining);
    tokio::select! {
        () = sleep(DRAINING) => {}
        () = next() => tracing::info!("asked again, ending now"),
    }
    phase.send_replace(Phase::Closed);
    Ok(())
}
