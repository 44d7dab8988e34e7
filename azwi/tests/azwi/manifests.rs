//! Manifests before they are applied: `azwi check -f`, without a cluster.

use std::process::{Output, Stdio};
use std::time::Duration;

use azwi::checks::{self, Code};
use azwi::facts::manifest::{File, Manifests};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::fixture::healthy;
use crate::process::text;

/// Runs the program with standard input, without a cluster.
async fn azwi(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_azwi"))
        .args(args)
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A refused command line reads no input.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await;
    output.unwrap().unwrap()
}

/// The code, object, file and line of every finding that is no information, and the gaps.
fn found(yaml: &str) -> (Vec<(Code, String, usize)>, usize) {
    let file = File {
        name: "shop.yaml".to_owned(),
        text: yaml.to_owned(),
    };
    let manifests = Manifests::read(&[file], "default").unwrap();
    let findings = checks::of_manifests(&manifests).into_iter().map(|it| {
        let line = it.place.map_or(0, |it| it.line);
        (it.code, it.object.to_string(), line)
    });
    (findings.collect(), manifests.facts.gaps.len())
}

const SHOP: &str = r#"# The shop.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: shop
  annotations:
    azure.workload.identity/client-id: 1b4db7eb-4057-5ddf-91e0-36dec72071f5
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  template:
    metadata:
      labels:
        app: shop
        azure.workload.identity/use: "true"
      annotations:
        azure.workload.identity/inject-proxy-sidecar: "true"
    spec:
      serviceAccountName: shop
      containers:
      - name: app
        image: app
"#;

#[test]
fn each_fault_is_found_at_its_line() {
    let label = "        azure.workload.identity/use: \"true\"\n";
    let id = "1b4db7eb-4057-5ddf-91e0-36dec72071f5";
    let shop = "Deployment default/shop";
    let account = "ServiceAccount default/shop";
    for (from, to, code, object, line) in [
        ("", "", None, "", 0),
        (label, "", Some(Code::Label), shop, 16),
        (
            "use: \"true\"",
            "use: \"True\"",
            Some(Code::Label),
            shop,
            18,
        ),
        (
            "use: \"true\"",
            "use: true",
            Some(Code::NotCreated),
            shop,
            18,
        ),
        (id, "shop-identity", Some(Code::Malformed), account, 7),
        (
            "    azure.workload.identity/client-id: ",
            "    other: ",
            Some(Code::NoClientId),
            account,
            3,
        ),
        (
            "      serviceAccountName: shop\n",
            "",
            Some(Code::OtherAccount),
            shop,
            10,
        ),
        (
            "      containers:",
            "      hostNetwork: true\n      containers:",
            Some(Code::Denied),
            shop,
            20,
        ),
    ] {
        let yaml = SHOP.replacen(from, to, 1);
        let wanted: Vec<_> = code
            .iter()
            .map(|it| (*it, object.to_owned(), line))
            .collect();
        let (findings, gaps) = found(&yaml);
        // A kind's document starts with apiVersion, the line before.
        let near = findings.iter().zip(&wanted).all(|(it, wanted)| {
            (it.0, &it.1) == (wanted.0, &wanted.1) && it.2.abs_diff(wanted.2) <= 1
        });
        assert!(
            near && findings.len() == wanted.len() && gaps == 0,
            "{from:?} → {to:?}: {findings:?}, {gaps} gaps"
        );
    }
}

#[test]
fn an_account_outside_of_the_files_is_taken_to_be_in_the_cluster() {
    let (_, deployment) = SHOP.split_once("---\n").unwrap();
    assert_eq!(found(deployment), (vec![], 0));
    // What the webhook refuses is found all the same.
    let host = deployment.replace(
        "      containers:",
        "      hostNetwork: true\n      containers:",
    );
    assert!(matches!(&found(&host).0[..], [(Code::Denied, _, _)]));
    // The account of one labelled template says nothing about another template.
    let plain = deployment
        .replace("azure.workload.identity/use", "other")
        .replace("name: shop", "name: plain");
    assert_eq!(found(&format!("{deployment}---\n{plain}")), (vec![], 0));
}

#[test]
fn a_cluster_full_of_healthy_workloads_gives_no_finding() {
    let objects = healthy().objects.into_iter();
    // Pods of a cluster have what the webhook added.
    let objects: Vec<Value> = objects.filter(|it| it["kind"] != "Pod").collect();
    let list = json!({ "kind": "List", "items": objects }).to_string();
    assert_eq!(found(&list), (vec![], 0));
}

#[test]
fn a_namespace_that_the_webhook_leaves_out_is_found() {
    let mut cluster = healthy();
    cluster.get("Deployment", "shop")["metadata"]["namespace"] = json!("kube-system");
    let list = json!({ "kind": "List", "items": cluster.objects }).to_string();
    let (findings, _) = found(&list);
    assert!(
        findings.iter().any(|it| it.0 == Code::Namespace),
        "{findings:?}"
    );
}

#[test]
fn custom_kinds_and_bare_pods_are_looked_at() {
    for (kind, from) in [
        ("Rollout", "kind: Deployment"),
        ("StatefulSet", "kind: Deployment"),
    ] {
        let yaml = SHOP
            .replace(from, &format!("kind: {kind}"))
            .replace("use: \"true\"", "use: \"yes\"");
        let (findings, _) = found(&yaml);
        assert_eq!(
            findings,
            [(Code::Label, format!("{kind} default/shop"), 18)]
        );
    }
    let pod = format!(
        "{}---\nkind: Pod\nmetadata: {{generateName: one-}}\nspec: {{serviceAccountName: shop, containers: []}}\n",
        SHOP.split_once("---\n").unwrap().0
    );
    assert_eq!(
        found(&pod).0,
        [(Code::Label, "Pod default/one-".to_owned(), 9)]
    );
}

#[tokio::test]
async fn the_program_needs_no_cluster_and_says_file_and_line() {
    let output = azwi(&["check", "-f", "-"], SHOP).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("looked at 1 workloads, 0 pods, 1 service accounts"));

    let wrong = SHOP.replace("use: \"true\"", "use: \"True\"");
    let folder = std::env::temp_dir().join(format!("azwi-manifests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("shop.yaml"), &wrong).unwrap();
    std::fs::write(
        folder.join("kustomization.yaml"),
        "resources: [shop.yaml]\n",
    )
    .unwrap();
    std::fs::write(folder.join("README.md"), "{{{").unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    let output = azwi(&["check", "-n", "prod", "-f", &folder], "").await;
    let json = azwi(&["check", "-o", "json", "-f", &folder], "").await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for part in [
        &format!("{folder}/shop.yaml:18: error: label azure.workload.identity/use"),
        "Deployment prod/shop\n",
        &format!("\n    ${{EDITOR:-vi}} +18 {folder}/shop.yaml\n"),
    ] {
        assert!(text(&output).contains(part), "{}", text(&output));
    }
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let finding = &json["findings"][0];
    assert_eq!(
        (&finding["file"], &finding["line"]),
        (&json!(format!("{folder}/shop.yaml")), &json!(18))
    );
}

#[tokio::test]
async fn reports_what_is_not_a_manifest_in_a_sentence() {
    for (args, input, code, part) in [
        (
            vec!["-f", "-"],
            "a: [1\nb: }",
            64,
            "azwi: - is not YAML: line ",
        ),
        (
            vec!["-f", "/nonexistent"],
            "",
            64,
            "--filename /nonexistent: ",
        ),
        (
            vec!["-f", "-", "deployment/shop"],
            "",
            64,
            "cannot be used with",
        ),
        (
            vec!["-f", "-"],
            "a: 1",
            2,
            "not checked: read -:1: this is no object of Kubernetes",
        ),
        (
            vec!["-f", "-"],
            "kind: Deployment\nmetadata: {name: shop}\nspec: {template: {spec: {containers: 5}}}",
            2,
            "Deployment default/shop is not what the API documents",
        ),
        (
            vec!["-f", "-"],
            "kind: Pod\nmetadata: 5",
            2,
            "metadata.name is missing",
        ),
    ] {
        let output = azwi(&[&["check"], &args[..]].concat(), input).await;
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
}
