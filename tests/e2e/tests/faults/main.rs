//! What breaks around the installed product, and that it comes right without a human. Each of these
//! tests has the node to itself. With `E2E_LONG` set they wait for what takes minutes, too.

mod control_plane;
mod names;
mod objects;
mod replica;

use e2e::{Load, Namespace};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Duration, sleep};

/// Waits until no other test of this program runs.
async fn alone() -> MutexGuard<'static, ()> {
    static NODE: Mutex<()> = Mutex::const_new(());
    NODE.lock().await
}

/// Whether there is time for what takes minutes.
fn is_long() -> bool {
    std::env::var_os("E2E_LONG").is_some()
}

/// Pods of the namespace's account are created and injected, every one of a hundred.
async fn assert_all_is_well(namespace: &Namespace) {
    let load = Load::start(namespace, 50).await;
    sleep(Duration::from_secs(2)).await;
    load.stop().await.assert_all_injected();
}
