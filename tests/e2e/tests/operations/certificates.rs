//! The webhook's own certificates: replicas agree on one authority, take over upstream's, and repair
//! the bundle.

use e2e::authority::{bundle, certificates, is_trusted, near_its_end, set_bundle, store, stored};
use e2e::{
    Container, DEPLOYMENT, Namespace, Pod, configuration_of_the_chart, kubectl, kubectl_with_input,
    replicas, system, until,
};
use testkit::process::pids;

use crate::alone;

/// Ends all replicas at once, and waits until none of their processes is left.
async fn stop() {
    system(&["scale", DEPLOYMENT, "--replicas=0"]).await;
    let selector = "azure-workload-identity.io/system=true";
    let now = ["--force", "--grace-period=0"];
    system(&[&["delete", "pods", "-l", selector], &now[..]].concat()).await;
    let processes = async || pids("webhook");
    until("the replicas to end", processes, Vec::is_empty).await;
}

/// Starts this many replicas and waits until they are ready.
async fn start(replicas: usize) {
    let replicas = format!("--replicas={replicas}");
    system(&["scale", DEPLOYMENT, &replicas]).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
}

/// Asserts that every replica serves with this one authority, that the API server trusts it, and that a
/// pod is admitted.
async fn assert_all_serve_with(authority: &str) {
    let authority = certificates(authority);
    assert_eq!(certificates(&bundle().await), authority);
    for replica in replicas().await {
        assert!(is_trusted(&replica, &authority).await);
    }
    let (namespace, _) = Namespace::with_identity("served").await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    namespace.dry_run(&pod.manifest()).await;
}

#[tokio::test]
async fn replicas_that_start_together_agree_on_an_authority() {
    let _alone = alone().await;
    stop().await;
    store(&[]).await;
    set_bundle("").await;
    start(3).await;

    let authority = stored().await;
    assert_eq!(certificates(&authority).len(), 1, "{authority}");
    assert_all_serve_with(&authority).await;
    start(2).await;
}

#[tokio::test]
async fn takes_over_upstreams_authority() {
    let _alone = alone().await;
    stop().await;
    let certificate = include_str!("../../../../webhook/tests/webhook/data/peer-ca.crt");
    let key = include_str!("../../../../webhook/tests/webhook/data/peer-ca.key");
    store(&[
        ("ca.crt", certificate),
        ("ca.key", key),
        ("tls.crt", "its"),
        ("tls.key", "its"),
    ])
    .await;
    start(2).await;

    assert_eq!(stored().await, certificate, "the Secret stays as it was");
    assert_all_serve_with(certificate).await;
}

#[tokio::test]
async fn repairs_a_changed_bundle() {
    let _alone = alone().await;
    let wanted = bundle().await;
    assert!(!wanted.is_empty());
    let healed = async |by: &str| {
        until(&format!("the bundle after {by}"), bundle, |it| {
            *it == wanted
        })
        .await;
    };

    set_bundle("").await;
    healed("its deletion").await;

    set_bundle(near_its_end().certificate()).await;
    healed("a foreign edit").await;

    // As GitOps tools do that apply the chart's manifests.
    let manifest = configuration_of_the_chart().await;
    let printed = kubectl_with_input(&["replace", "-f", "-"], &manifest).await;
    assert!(printed.contains("replaced"), "{printed}");
    healed("the chart's own manifest").await;

    kubectl(&["get", "--raw", "/readyz"]).await;
    assert_all_serve_with(&wanted).await;
}
