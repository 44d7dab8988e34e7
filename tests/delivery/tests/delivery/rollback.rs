//! An upgrade, and the way back.

use delivery::{documented, empty, install};
use e2e::{DEPLOYMENT, Load, Namespace, system};

const PAGE: &str = "docs/upgrade.md";

#[tokio::test]
async fn no_pod_is_refused_on_the_way_forth_and_back() {
    let _node = empty().await;
    install("--wait --timeout 2m").await;
    let (namespace, _) = Namespace::with_identity("rollback").await;
    let load = Load::start(&namespace, 50).await;

    let upgrade = documented(PAGE, "--reset-then-reuse-values\n");
    let _ = upgrade.and("--set proxy.relay=deny --wait").run().await;
    assert!(arguments().await.contains("--proxy-relay=deny"));
    let rollback = documented(PAGE, "helm rollback").and("--wait");
    let _ = rollback.run().await;
    assert!(arguments().await.contains("--proxy-relay=allow"));

    load.stop().await.assert_all_injected();
}

async fn arguments() -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].args}";
    system(&["get", DEPLOYMENT, "-o", path]).await
}
