//! Faults around the installed product, from which it recovers by itself. Each of these tests has the
//! node to itself. With `E2E_LONG` set, they include the steps that take minutes.

mod control_plane;
mod names;
mod objects;
mod replica;

use e2e::{Load, Namespace};
use tokio::sync::{Mutex, MutexGuard};

/// Waits until no other test of this program runs.
async fn alone() -> MutexGuard<'static, ()> {
    static NODE: Mutex<()> = Mutex::const_new(());
    NODE.lock().await
}

/// Whether to include the steps that take minutes.
fn is_long() -> bool {
    std::env::var_os("E2E_LONG").is_some()
}

/// Asserts that each of a hundred pods of the namespace's account is created and injected.
async fn assert_all_is_well(namespace: &Namespace) {
    let load = Load::start(namespace, 50).await;
    load.answered(100).await;
    load.stop().await.assert_all_injected();
}
