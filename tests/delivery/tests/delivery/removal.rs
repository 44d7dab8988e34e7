//! Removing the product.

use delivery::{empty, helm, install};
use e2e::{Container, Load, Namespace, Pod, SYSTEM_NAMESPACE, claims, kubectl, system};

const ASK: &str = "curl --silent --show-error --fail-with-body -H Metadata:true \
    'http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net'";

#[tokio::test]
async fn nothing_that_blocks_pods_is_left_and_pods_that_run_go_on() {
    let _node = empty().await;
    install("--set-file proxy.caBundle=$AZURE_CA_FILE --wait --timeout 2m").await;
    let (namespace, identity) = Namespace::with_identity("removal").await;
    let pod = Pod::new("running")
        .with_proxy()
        .container(Container::shell("app", "exec sleep infinity"));
    namespace.apply(&pod.manifest()).await;
    namespace.exec("running", "app", "true").await;

    let load = Load::start(&namespace, 50).await;
    let _ = helm("uninstall azure-workload-identity --wait --timeout 2m").await;
    let tally = load.stop().await;
    // Pods are admitted all the time: with their identity before, without it afterwards.
    assert!(tally.injected > 0);
    for failure in &tally.failures {
        assert_eq!(failure, "it was admitted without its identity");
    }

    let kinds = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings,deployments,\
        services,secrets,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    let selector = "--selector=azure-workload-identity.io/system=true";
    let left = kubectl(&["get", kinds, "--all-namespaces", selector, "-o", "name"]).await;
    assert!(!left.contains('/'), "{left}");
    let left = system(&["get", "secrets,configmaps", "-o", "name"]).await;
    assert_eq!(
        left.trim(),
        "configmap/kube-root-ca.crt",
        "in {SYSTEM_NAMESPACE}"
    );

    let new = Pod::new("new").container(Container::shell("app", "true"));
    let finished = namespace.run(&new).await;
    assert_eq!(finished.phase, "Succeeded");
    // What was asked for the first time after the removal, and what memory has.
    for _ in 0..2 {
        let answer = namespace.exec("running", "app", ASK).await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    }
}
