//! Restarts, upgrades and bursts of pods. Each of these tests has the node to itself, since it would
//! disturb the others.

mod api_server;
mod certificates;
mod many_pods;
mod plain_sidecar;

use tokio::sync::{Mutex, MutexGuard};

/// Waits until no other test of this program runs.
async fn alone() -> MutexGuard<'static, ()> {
    static NODE: Mutex<()> = Mutex::const_new(());
    NODE.lock().await
}
