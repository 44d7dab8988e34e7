//! The API server restarts.

use std::collections::BTreeMap;

use contract::variable;
use e2e::{Container, Namespace, Pod, metrics, restart_api_server, until};

use crate::alone;

fn value(metrics: &BTreeMap<String, f64>, name: &str) -> f64 {
    *metrics
        .get(name)
        .unwrap_or_else(|| panic!("no metric {name} in {metrics:?}"))
}

#[tokio::test]
async fn the_watch_continues_after_an_api_server_restart() {
    let _alone = alone().await;
    const KNOWN: &str = "azwi_service_accounts";
    const LOOKUPS: &str = "azwi_service_account_live_lookups_total";
    let before = value(&metrics().await, KNOWN);
    restart_api_server().await;

    let (namespace, identity) = Namespace::with_identity("restarted").await;
    let seen = until("the watch to bring the new account", metrics, |metrics| {
        value(metrics, KNOWN) > before + 1.0
    })
    .await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    let pod = namespace.dry_run(&pod.manifest()).await;
    let variables = pod["spec"]["containers"][0]["env"].to_string();
    assert!(variables.contains(variable::CLIENT_ID), "{variables}");
    assert!(variables.contains(&identity.client_id), "{variables}");
    assert_eq!(
        value(&metrics().await, LOOKUPS),
        value(&seen, LOOKUPS),
        "the webhook must know the account from its watch, not from a lookup"
    );
}
