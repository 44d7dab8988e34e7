//! Removing the product.

use delivery::{documented, empty, install};
use e2e::{Container, Namespace, Pod, SYSTEM_NAMESPACE, claims, kubectl, system};

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

    let uninstall = documented("docs/upgrade.md", "helm uninstall").and("--wait");
    let _ = uninstall.run().await;
    // It comes without its identity: the webhook has nothing to say any more.
    let new = Pod::new("new").container(Container::shell("app", "true"));
    let finished = namespace.run(&new).await;
    assert_eq!(finished.phase, "Succeeded");

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

    // What was asked for the first time after the removal, and what memory has.
    for _ in 0..2 {
        let answer = namespace.exec("running", "app", ASK).await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    }
}
