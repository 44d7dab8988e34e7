//! The API server's audit log.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

/// The user that the chart's webhook is.
pub const WEBHOOK_USER: &str =
    "system:serviceaccount:azure-workload-identity-system:azure-wi-webhook-admin";

const DEADLINE: Duration = Duration::from_secs(60);

/// Everything that was audited so far: each creation of a pod, each call of a service account's.
pub fn audited() -> Vec<Value> {
    let logs = std::env::var("CLUSTER_LOGS").expect("`make e2e` runs these tests on a test node");
    let text = std::fs::read_to_string(format!("{logs}/audit.log"))
        .expect("the API server writes an audit log");
    // The last line may be half written.
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits for an entry.
///
/// # Panics
/// When it does not come.
pub async fn audit_of(what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(event) = audited().into_iter().find(|event| wanted(event)) {
            return event;
        }
        assert!(
            Instant::now() < deadline,
            "the audit log has no entry of {what}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}
