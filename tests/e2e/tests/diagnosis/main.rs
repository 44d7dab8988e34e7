//! `azwi check` on a real API server: nothing is found where nothing is wrong, and each usual cause is named first,
//! with the command that fixes it.

mod azure;
mod azwi;
mod healthy;
mod inside;
mod installation;
mod workload;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static INSTALLATION: RwLock<()> = RwLock::const_new(());

/// Waits until no test of this program changes the installation.
async fn beside_others() -> RwLockReadGuard<'static, ()> {
    INSTALLATION.read().await
}

/// Waits until no other test of this program runs.
async fn alone() -> RwLockWriteGuard<'static, ()> {
    INSTALLATION.write().await
}
