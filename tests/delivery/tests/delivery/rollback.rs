//! An upgrade and a rollback under load.

use delivery::{documented, empty, install};
use e2e::{DEPLOYMENT, Load, Namespace, system};

const PAGE: &str = "docs/upgrade.md";

#[tokio::test]
async fn upgrades_and_rolls_back_without_refusing_a_pod() {
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
