//! `azwi check` of one workload reads the issuer's documents as the internet has them.

use serde_json::{Value, json};

use crate::api_server::{Cluster, key};
use crate::fixture::{ISSUER, SYSTEM, healthy};
use crate::issuer_server::{Answer, DISCOVERY, Issuer, KEYS_URL, discovery, keys, ok};
use crate::process::text;

const CHECK: &[&str] = &["check", "deploy/shop"];

/// Documents with this key.
fn documents(key: Value) -> Vec<Answer> {
    vec![discovery(ISSUER, KEYS_URL), keys(&[key])]
}

#[tokio::test]
async fn the_published_documents_are_compared_with_the_token() {
    let mut for_encryption = key("key-1");
    for_encryption["use"] = json!("enc");
    let without_slash = "https://issuer.example.com/cluster";
    for (code, answers) in [
        ("", documents(key("key-1"))),
        ("AZWI-T005", vec![]),
        ("AZWI-T005", vec![(DISCOVERY, ok(&json!("<html>")))]),
        (
            "AZWI-T003",
            vec![discovery(without_slash, KEYS_URL), keys(&[key("key-1")])],
        ),
        ("AZWI-T006", documents(key("key-0"))),
        ("AZWI-T007", documents(for_encryption)),
    ] {
        let issuer = Issuer::start(answers).await;
        let output = issuer.azwi(healthy(), CHECK).await;
        let text = text(&output);
        if code.is_empty() {
            assert_eq!(output.status.code(), Some(0), "{text}");
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{code}: {text}");
        assert!(
            text.starts_with("error: ") && text.contains(code),
            "{code}: {text}"
        );
    }
}

/// Entra does not trust it either.
#[tokio::test]
async fn the_private_authority_of_the_chart_is_not_trusted() {
    let issuer = Issuer::start(documents(key("key-1"))).await;
    let cluster = with_proxy_ca(issuer.authority());
    let output = issuer.azwi_trusting("", cluster, CHECK).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let part = "not checked: get https://issuer.example.com/";
    assert!(text.contains(part), "{text}");
}

/// A healthy cluster with these certificates in the chart's `proxy.caBundle`.
fn with_proxy_ca(certificates: &str) -> Cluster {
    let mut cluster = healthy();
    let deployment = cluster.get("Deployment", "azure-wi-webhook-controller-manager");
    let spec = &mut deployment["spec"]["template"]["spec"];
    let manager = &mut spec["containers"][0];
    manager["args"] = json!(["--log-level=info", "--proxy-ca-file=/proxy-ca/ca.crt"]);
    manager["volumeMounts"] = json!([{ "name": "proxy-ca", "mountPath": "/proxy-ca" }]);
    spec["volumes"] = json!([{ "name": "proxy-ca", "configMap": { "name": "proxy-ca" } }]);
    cluster.objects.push(json!({
        "kind": "ConfigMap",
        "metadata": { "namespace": SYSTEM, "name": "proxy-ca" },
        "data": { "ca.crt": certificates },
    }));
    cluster
}
