//! An upgrade, and the way back.

use delivery::{empty, helm, install, upgrade};
use e2e::{DEPLOYMENT, Load, Namespace, system};

#[tokio::test]
async fn no_pod_is_refused_on_the_way_forth_and_back() {
    let _node = empty().await;
    install("--wait --timeout 2m").await;
    let (namespace, _) = Namespace::with_identity("rollback").await;
    let load = Load::start(&namespace, 50).await;

    upgrade("--set proxy.relay=deny --wait --timeout 2m").await;
    assert!(arguments().await.contains("--proxy-relay=deny"));
    let _ = helm("rollback azure-workload-identity --wait --timeout 2m").await;
    assert!(arguments().await.contains("--proxy-relay=allow"));

    load.stop().await.assert_all_injected();
}

async fn arguments() -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].args}";
    system(&["get", DEPLOYMENT, "-o", path]).await
}
