//! Removes the product.

use delivery::{documented, empty, install};
use e2e::{Container, Namespace, Pod, SYSTEM_NAMESPACE, claims, kubectl, system};

const ASK: &str = "curl --silent --show-error --fail-with-body -H Metadata:true \
    'http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net'";

#[tokio::test]
async fn removal_leaves_nothing_that_blocks_pods_and_running_pods_get_tokens() {
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
    // A new pod starts, without an identity.
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

    // The first request needs an exchange, the second is answered from the cache.
    for _ in 0..2 {
        let answer = namespace.exec("running", "app", ASK).await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    }
}
