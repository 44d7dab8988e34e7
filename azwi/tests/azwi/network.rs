//! NetworkPolicies that leave pods no way to Entra.

use azwi::checks::{self, Code, Finding, Severity};
use azwi::facts::read::Scope;
use serde_json::{Value, json};

use crate::api_server::Cluster;
use crate::causes::facts;
use crate::fixture::healthy;

/// A cluster with a NetworkPolicy for the pods of Deployment `shop`, with these rules for egress.
fn with_policy(egress: &Value) -> Cluster {
    let mut cluster = healthy();
    let labels = &mut cluster.get("Deployment", "shop")["spec"]["template"]["metadata"]["labels"];
    labels["tier"] = json!("web");
    cluster.objects.push(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "prod", "name": "closed" },
        "spec": {
            "podSelector": { "matchLabels": { "tier": "web" } },
            "policyTypes": ["Egress"],
            "egress": egress,
        },
    }));
    cluster
}

async fn found(cluster: Cluster) -> Vec<Finding> {
    let facts = facts(cluster, &Scope::default()).await;
    assert_eq!(facts.gaps, []);
    let mut findings = checks::all(&facts);
    findings.retain(|it| it.code.severity() != Severity::Information);
    findings
}

#[tokio::test]
async fn pods_without_a_way_to_entra_are_named() {
    let dns = json!([{ "ports": [{ "protocol": "UDP", "port": 53 }] }]);
    let found = found(with_policy(&dns)).await;
    let [finding] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(finding.code, Code::NoWayOut);
    assert_eq!(finding.object.to_string(), "Deployment prod/shop");
    let cause = "NetworkPolicy closed leaves the pods no way to Entra: no rule for egress allows TCP 443 of the internet";
    assert_eq!(finding.cause, cause);
    let fix = finding.fix.as_deref().unwrap_or_default();
    assert!(fix.ends_with(" | kubectl -n prod apply -f -"), "{fix}");

    // What the command applies ends the finding.
    let policy = fix.split('\'').nth(1).unwrap();
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    policy["metadata"]["namespace"] = json!("prod");
    let mut cluster = with_policy(&dns);
    cluster.get("Deployment", "shop");
    cluster.objects.push(policy);
    assert_eq!(self::found(cluster).await, []);
}

#[tokio::test]
async fn pods_with_a_way_to_entra_are_not_named() {
    assert_eq!(
        found(with_policy(&json!([{ "ports": [{ "port": 443 }] }]))).await,
        []
    );
    let changes: [fn(&mut Cluster); 4] = [
        |it| {
            it.get("Deployment", "shop")["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        },
        |it| {
            let container =
                &mut it.get("Deployment", "shop")["spec"]["template"]["spec"]["containers"][0];
            container["env"] = json!([{ "name": "https_proxy", "value": "http://proxy:3128" }]);
        },
        |it| {
            let labels =
                &mut it.get("Deployment", "shop")["spec"]["template"]["metadata"]["labels"];
            labels["tier"] = json!("other");
        },
        |it| {
            it.objects.push(json!({
                "apiVersion": "cilium.io/v2",
                "kind": "CiliumNetworkPolicy",
                "metadata": { "namespace": "prod", "name": "entra" },
            }));
        },
    ];
    for change in changes {
        let mut cluster = with_policy(&json!([]));
        change(&mut cluster);
        assert_eq!(found(cluster).await, []);
    }
}

/// The sidecar goes through the chart's egress proxy, whatever the application has.
#[tokio::test]
async fn the_sidecars_egress_proxy_is_the_charts() {
    let mut cluster = with_policy(&json!([]));
    let template = &mut cluster.get("Deployment", "shop")["spec"]["template"];
    template["metadata"]["annotations"] =
        json!({ "azure.workload.identity/inject-proxy-sidecar": "true" });
    template["spec"]["containers"][0]["env"] =
        json!([{ "name": "HTTPS_PROXY", "value": "http://proxy:3128" }]);
    cluster.remove("Pod", "shop-1-a");
    let codes = async |it: Cluster| found(it).await.iter().map(|it| it.code).collect::<Vec<_>>();
    assert_eq!(codes(cluster.clone()).await, [Code::NoWayOut]);
    let settings = cluster.get("ConfigMap", "azure-wi-webhook-config");
    settings["data"]["AZWI_PROXY_HTTPS_PROXY"] = json!("http://proxy.example.com:3128");
    assert_eq!(codes(cluster).await, []);
}

#[tokio::test]
async fn policies_that_cannot_be_read_are_not_checked() {
    let mut cluster = with_policy(&json!([]));
    cluster.forbidden = ["networkpolicies"].into();
    let facts = facts(cluster, &Scope::default()).await;
    let gaps: Vec<_> = facts.gaps.iter().map(|it| it.resource.as_str()).collect();
    assert_eq!(gaps, ["networkpolicies.networking.k8s.io"]);
}
