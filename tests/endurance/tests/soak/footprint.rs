//! Memory and open files of the product's processes.

use contract::container::PROXY;
use e2e::{Namespace, until};
use testkit::process::{open_files, pids, resident_kib};

use crate::POD;

const KIB_A_PROXY_MAY_GROW: u64 = 2 * 1024;
const KIB_A_WEBHOOK_MAY_GROW: u64 = 8 * 1024;

/// Resident memory and open files, by process.
#[derive(Debug)]
pub struct Footprint {
    proxy: Process,
    /// The largest replica: they are killed and restarted meanwhile.
    webhook: Process,
}

/// The usage of one process.
#[derive(Debug, Default)]
struct Process {
    kib: u64,
    files: usize,
}

impl Footprint {
    /// Measures the proxy beside the pod's application, and the webhook.
    pub async fn of(namespace: &Namespace) -> Self {
        let proxy = namespace.pid(POD, PROXY).await;
        let webhooks = until(
            "webhooks",
            async || pids("webhook"),
            |found| !found.is_empty(),
        )
        .await;
        let webhooks = webhooks.into_iter().filter_map(Process::read);
        Self {
            proxy: Process::read(proxy).expect("it runs"),
            webhook: webhooks.max_by_key(|it| it.kib).expect("one runs"),
        }
    }

    /// Asserts that nothing grew by more than an allocator's slack.
    ///
    /// # Panics
    ///
    /// When something did.
    pub fn assert_no_more_than(&self, before: &Self) {
        for (now, before, growth) in [
            (&self.proxy, &before.proxy, KIB_A_PROXY_MAY_GROW),
            (&self.webhook, &before.webhook, KIB_A_WEBHOOK_MAY_GROW),
        ] {
            assert!(now.kib <= before.kib + growth, "memory grows");
            assert!(now.files <= before.files + 8, "files stay open");
        }
    }
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        Some(Self {
            kib: resident_kib(pid)?,
            files: open_files(pid)?,
        })
    }
}
