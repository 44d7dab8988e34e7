//! The proxy as a plain container, the form for API servers before 1.32, and the rolling restart that a
//! changed chart value causes.

use std::io::{Write, stderr};

use e2e::{Load, Namespace, helm_upgrade, sidecar};

use crate::alone;

#[tokio::test]
async fn changes_to_the_plain_form_under_load() {
    let _alone = alone().await;
    let (namespace, identity) = Namespace::with_identity("plain").await;
    upgrade_under_load(&namespace, "nativeSidecar=off").await;

    let spec = sidecar::injected(&namespace).await;
    assert_eq!(
        sidecar::names(&spec["initContainers"]),
        ["azwi-proxy-init", "early"]
    );
    assert_eq!(
        sidecar::names(&spec["containers"]),
        ["azwi-proxy", "app", "second"]
    );
    sidecar::assert_kubectl_selects_the_users_container(&namespace).await;
    sidecar::assert_the_application_waits_for_a_slow_proxy(&namespace, &identity).await;
    helm_upgrade(&["--set", "nativeSidecar=auto"]).await;
}

/// Replaces both replicas while 200 pods a second are created, and asserts that none is refused.
async fn upgrade_under_load(namespace: &Namespace, value: &str) {
    let load = Load::start(namespace, 200).await;
    helm_upgrade(&["--set", value]).await;
    let tally = load.stop().await;
    let _ = writeln!(
        stderr(),
        "{} pods, {:.0} a second, while both replicas were replaced: {} refused",
        tally.injected + tally.failures.len(),
        tally.rate(),
        tally.failures.len()
    );
    tally.assert_all_injected();
}
