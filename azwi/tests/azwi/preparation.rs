//! `azwi check --pre`: before the chart is installed.

use azwi::checks::{self, Code, Severity};
use azwi::facts::read::{REPOSITORY, Scope};
use serde_json::{Value, json};

use crate::api_server::{Cluster, DryRun};
use crate::causes::facts;
use crate::fixture::{CONFIGURATION, healthy};
use crate::process::{azwi, azwi_at, text};

/// A cluster without the webhook, whose pods have no token.
fn bare() -> Cluster {
    let mut cluster = healthy();
    cluster.remove("MutatingWebhookConfiguration", CONFIGURATION);
    cluster.objects.retain(|it| it["kind"] != "Pod");
    cluster.dry_run = DryRun::NotInjected;
    cluster
}

async fn found(cluster: Cluster) -> Vec<(Code, String)> {
    let scope = Scope {
        preparation: Some(REPOSITORY.to_owned()),
        dry_run: true,
        ..Scope::default()
    };
    let facts = facts(cluster, &scope).await;
    assert_eq!(facts.gaps, []);
    let findings = checks::all(&facts).into_iter();
    findings
        .filter(|it| it.code.severity() != Severity::Information || it.code == Code::OldApiServer)
        .map(|it| (it.code, it.object.to_string()))
        .collect()
}

#[tokio::test]
async fn a_cluster_that_is_ready_gives_no_finding() {
    assert_eq!(found(bare()).await, []);
}

#[tokio::test]
async fn an_old_api_server_is_named() {
    for (minor, code) in [
        (23, Some(Code::TooOld)),
        (24, Some(Code::OldApiServer)),
        (31, Some(Code::OldApiServer)),
        (32, None),
    ] {
        let mut cluster = bare();
        cluster.minor = Some(minor);
        let wanted: Vec<_> = code
            .iter()
            .map(|it| (*it, format!("APIServer v1.{minor}.1")))
            .collect();
        assert_eq!(found(cluster).await, wanted, "{minor}");
    }
}

#[tokio::test]
async fn another_installation_is_named() {
    let mut cluster = healthy();
    cluster.get("MutatingWebhookConfiguration", CONFIGURATION)["metadata"]["name"] =
        json!("aks-managed");
    let object = "MutatingWebhookConfiguration aks-managed".to_owned();
    assert_eq!(found(cluster).await, [(Code::SecondWebhook, object)]);
}

#[tokio::test]
async fn missing_rights_are_named() {
    let mut cluster = bare();
    cluster.forbidden = ["create deployments", "create clusterroles"].into();
    let output = azwi(cluster, &["check", "--pre", "-n", "prod"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let cause = "the right to create clusterroles.rbac.authorization.k8s.io, to create deployments.apps in namespace \
                 azure-workload-identity-system is missing";
    assert!(text(&output).contains(cause), "{}", text(&output));
}

/// A cluster whose only workload asks for the proxy.
fn with_proxy() -> Cluster {
    let mut cluster = bare();
    let shop = cluster.get("Deployment", "shop");
    shop["spec"]["template"]["metadata"]["annotations"] =
        json!({ "azure.workload.identity/inject-proxy-sidecar": "true" });
    let shop = shop.clone();
    let is_other =
        |it: &Value| it["spec"]["template"].is_null() && it["spec"]["jobTemplate"].is_null();
    cluster.objects.retain(is_other);
    cluster.objects.push(shop);
    cluster
}

/// The pod that the check creates as a dry run, with further arguments.
async fn created(cluster: Cluster, args: &[&str]) -> Value {
    let (address, shared) = cluster.start_shared().await;
    azwi_at(address, &[&["check", "--pre"], args].concat()).await;
    let created = shared.lock().unwrap().created.clone();
    let [pod] = &created[..] else {
        panic!("{created:?}")
    };
    pod.clone()
}

#[tokio::test]
async fn the_pod_has_the_form_that_the_cluster_will_get() {
    let image = format!("{REPOSITORY}/proxy:v{}", contract::VERSION);
    let pod = created(with_proxy(), &[]).await;
    let init = pod["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(init[1]["name"], "azwi-proxy", "{pod}");
    assert_eq!(init[1]["restartPolicy"], "Always", "{pod}");
    assert!(init.iter().all(|it| it["image"] == image), "{pod}");

    let mut old = with_proxy();
    old.minor = Some(31);
    let pod = created(old, &["--repository", "mirror.example.com/a/"]).await;
    let proxy = &pod["spec"]["containers"][0];
    assert_eq!(proxy["name"], "azwi-proxy", "{pod}");
    let image = format!("mirror.example.com/a/proxy:v{}", contract::VERSION);
    assert_eq!(proxy["image"], image, "{pod}");
    assert_eq!(pod["spec"]["initContainers"][0]["image"], image, "{pod}");

    let mut strict = with_proxy();
    let labels = &mut strict.get("Namespace", "prod")["metadata"]["labels"];
    labels["pod-security.kubernetes.io/enforce"] = json!("baseline");
    let pod = created(strict, &[]).await;
    let init = pod["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(init.len(), 1, "mode environment has no redirect: {pod}");
    assert_eq!(init[0]["name"], "azwi-proxy", "{pod}");
}

#[test]
fn the_repository_is_the_charts() {
    let values = include_str!("../../../deploy/chart/values.yaml");
    assert!(values.contains(&format!("\n  repository: {REPOSITORY}\n")));
    let chart = include_str!("../../../deploy/chart/Chart.yaml");
    assert!(chart.contains(&format!("\nappVersion: v{}\n", contract::VERSION)));
}

#[tokio::test]
async fn the_pod_is_created_as_the_webhook_changes_it_and_its_refusal_is_named() {
    let mut cluster = with_proxy();
    cluster.dry_run = DryRun::Refused(
        "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": NET_ADMIN",
    );
    let (address, shared) = cluster.start_shared().await;
    let output = azwi_at(address, &["check", "--pre"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for part in [
        "warning: a new pod would be refused: pods \"x\" is forbidden: violates PodSecurity",
        "azure.workload.identity/proxy-mode\":\"environment\"",
        "AZWI-W015",
    ] {
        assert!(text(&output).contains(part), "{}", text(&output));
    }
    let created = shared.lock().unwrap().created.clone();
    let [pod] = &created[..] else {
        panic!("{created:?}")
    };
    let init = &pod["spec"]["initContainers"];
    assert_eq!(init[0]["name"], "azwi-proxy-init", "{pod}");
    let token = pod["spec"]["volumes"].to_string();
    assert!(token.contains("azure-identity-token"), "{pod}");
}

#[tokio::test]
async fn a_missing_right_to_create_pods_is_not_checked() {
    let mut cluster = bare();
    cluster.forbidden = ["create pods"].into();
    let output = azwi(cluster.clone(), &["check", "--pre"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let output = azwi(cluster, &["check", "--pre", "--no-dry-run"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
