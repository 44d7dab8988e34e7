//! The API server's audit log.

use serde_json::Value;
use testkit::poll;

/// The user name of the installed webhook.
pub const WEBHOOK_USER: &str =
    "system:serviceaccount:azure-workload-identity-system:azure-wi-webhook-admin";

/// The audit log so far: each creation of a pod, and each call of a service account.
pub fn audited() -> Vec<Value> {
    let logs = std::env::var("CLUSTER_LOGS").expect("`make e2e` runs these tests on a test node");
    let text = std::fs::read_to_string(format!("{logs}/audit.log"))
        .expect("the API server writes an audit log");
    // The last line may be incomplete.
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits for an entry, at most a minute, and returns it.
///
/// # Panics
///
/// When it does not come.
pub async fn audit_of(what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let what = format!("the audit log's entry of {what}");
    let find = async || audited().into_iter().find(&wanted);
    let found = poll::until(&what, find, Option::is_some).await;
    found.expect("it was waited for")
}
