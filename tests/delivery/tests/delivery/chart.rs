//! The chart's golden renderings against a real API server, and one of them at work.

use std::fs;

use delivery::{empty, helm, install, kinds_of_others, ready, upgrade};
use e2e::{CONFIGURATION, Container, Namespace, Pod, kubectl, kubectl_with_input, replicas};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chart/golden");

#[tokio::test]
async fn the_api_server_accepts_every_rendering() {
    let _node = empty().await;
    kinds_of_others().await;
    let files = fs::read_dir(GOLDEN).expect("the renderings are there");
    let mut renderings: Vec<_> = files
        .map(|file| file.and_then(|file| fs::read_to_string(file.path())))
        .collect::<Result<_, _>>()
        .expect("the renderings are readable");
    // API servers before 1.37 do not know it; trust_bundle.rs installs it.
    renderings.retain(|it| !it.contains("clusterTrustBundle"));
    assert!(renderings.len() >= 8, "{}", renderings.len());
    // From Kubernetes 1.36 on, only files of the API server may have such names.
    let objects = renderings.join("\n---\n").replace(".static.k8s.io", "");
    let printed = kubectl_with_input(&["create", "--dry-run=server", "-f", "-"], &objects).await;
    let taken = printed
        .matches("mutatingwebhookconfiguration.admission")
        .count();
    assert_eq!(taken, renderings.len(), "{printed}");
    assert!(!printed.contains("Warning"), "{printed}");
}

#[tokio::test]
async fn the_webhook_serves_on_the_host_network_at_other_ports() {
    let _node = empty().await;
    install("--values tests/chart/values/private-cluster.yaml --set replicaCount=1").await;
    ready().await;
    let replicas = replicas().await;
    let status = replicas.first().and_then(|replica| replica.status.as_ref());
    let status = status.expect("there is one replica");
    assert_eq!(status.pod_ip, status.host_ip);
    let (namespace, identity) = Namespace::with_identity("on-the-nodes-network").await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    let pod = namespace.dry_run(&pod.manifest()).await;
    let environment = pod["spec"]["containers"][0]["env"].to_string();
    assert!(environment.contains(&identity.client_id), "{environment}");
}

#[tokio::test]
async fn an_upgrade_and_a_rollback_leave_the_namespace_selector_to_the_admissions_enforcer() {
    let _node = empty().await;
    install("--wait --timeout 2m").await;
    // As AKS's admissions enforcer does with each entry that lacks its expressions: the first one has them.
    let selector = r#"[{"op": "add", "path": "/webhooks/1/namespaceSelector", "value":
        {"matchExpressions": [{"key": "control-plane", "operator": "NotIn", "values": ["true"]}]}}]"#;
    kubectl(&[
        "patch",
        "mutatingwebhookconfiguration",
        CONFIGURATION,
        "--type=json",
        "--field-manager=admissionsenforcer",
        "-p",
        selector,
    ])
    .await;
    upgrade("--set logLevel=debug --wait").await;
    assert!(selector_of_the_webhook().await.contains("control-plane"));
    let _ = helm("rollback azure-workload-identity --wait").await;
    assert!(selector_of_the_webhook().await.contains("control-plane"));
}

async fn selector_of_the_webhook() -> String {
    kubectl(&[
        "get",
        "mutatingwebhookconfiguration",
        CONFIGURATION,
        "-o",
        "jsonpath={.webhooks[1].namespaceSelector}",
    ])
    .await
}
