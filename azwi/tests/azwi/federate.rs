//! `azwi federate` with a fake API server and a fake `az`.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::api_server::Cluster;
use crate::fixture::{CLIENT_ID, ISSUER, account, healthy};
use crate::process::{kubeconfig, text};

const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop";

/// A directory with the fake `az`, and what it was called with.
struct Az {
    directory: PathBuf,
    fails: &'static str,
}

impl Az {
    fn new(name: &str) -> Self {
        let name = format!("azwi-az-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azwi/az.sh");
        std::os::unix::fs::symlink(script, directory.join("az")).unwrap();
        Self {
            directory,
            fails: "nothing",
        }
    }

    fn calls(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.directory.join("calls")).unwrap_or_default();
        let calls = text.split_terminator("\n\n");
        calls
            .map(|it| it.lines().map(str::to_owned).collect())
            .collect()
    }
}

impl Drop for Az {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

async fn federate(cluster: Cluster, az: Option<&Az>, input: &str, args: &[&str]) -> Output {
    let address = cluster.start().await;
    let file = kubeconfig(&format!("http://{address}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
    command.arg("federate").args(args).env("KUBECONFIG", &file);
    if let Some(az) = az {
        let path = format!("{}:/usr/bin:/bin", az.directory.display());
        command
            .env("PATH", path)
            .env("AZ_CALLS", az.directory.join("calls"))
            .env("AZ_FAILS", az.fails);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Wrong usage ends the program before it reads.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await;
    fs::remove_file(file).unwrap();
    output.unwrap().unwrap()
}

/// The fixture's cluster, with two more accounts of its identity.
fn cluster() -> Cluster {
    let mut cluster = healthy();
    cluster
        .objects
        .push(account("prod", "cart", Some(CLIENT_ID)));
    cluster
        .objects
        .push(account("prod", "mail", Some(CLIENT_ID)));
    cluster
}

/// What `az identity list` and `az identity federated-credential list` write.
fn azure(issuer: &str) -> String {
    let identities = json!([{ "clientId": CLIENT_ID, "id": ID, "name": "shop" }]);
    let credentials: Vec<Value> = accounts()
        .iter()
        .map(|account| {
            json!({
                "id": format!("{ID}/federatedIdentityCredentials/{account}"),
                "name": account,
                "issuer": issuer,
                "subject": format!("system:serviceaccount:prod:{account}"),
                "audiences": ["api://AzureADTokenExchange"],
            })
        })
        .collect();
    format!("{identities}\n{}", json!(credentials))
}

/// The cluster's accounts with a client id, by name.
fn accounts() -> Vec<String> {
    let accounts = cluster().objects.into_iter().filter(|it| {
        let id = &it["metadata"]["annotations"]["azure.workload.identity/client-id"];
        it["kind"] == "ServiceAccount" && id.is_string()
    });
    let names = accounts.map(|it| it["metadata"]["name"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn nothing_is_to_do_where_all_credentials_exist() {
    let output = federate(cluster(), None, &azure(ISSUER), &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[tokio::test]
async fn a_slash_is_named_and_nothing_is_written() {
    let az = Az::new("slash");
    let input = azure(ISSUER.trim_end_matches('/'));
    let output = federate(cluster(), Some(&az), &input, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("differs by the last slash"),
        "{}",
        text(&output)
    );
    assert!(az.calls().is_empty());
}

#[tokio::test]
async fn applies_one_after_the_other_and_says_so() {
    let az = Az::new("apply");
    let input = json!([{ "clientId": CLIENT_ID, "id": ID, "name": "shop" }]).to_string();
    let output = federate(cluster(), Some(&az), &input, &["--apply"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let calls = az.calls();
    assert_eq!(calls.len(), accounts().len(), "{}", text(&output));
    for (call, account) in calls.iter().zip(accounts()) {
        assert_eq!(call[..3], ["identity", "federated-credential", "create"]);
        assert!(call.contains(&format!("--issuer={ISSUER}")), "{call:?}");
        assert!(
            call.contains(&format!("--subject=system:serviceaccount:prod:{account}")),
            "{call:?}"
        );
    }
    let written = text(&output)
        .matches("written: federated credential prod-")
        .count();
    assert_eq!(written, calls.len(), "{}", text(&output));
}

#[tokio::test]
async fn stops_at_the_first_refusal() {
    let mut az = Az::new("refused");
    az.fails = "--subject=";
    let input = json!([{ "clientId": CLIENT_ID, "id": ID, "name": "shop" }]).to_string();
    let output = federate(cluster(), Some(&az), &input, &["--apply"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("(AuthorizationFailed) no right to write"),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("0 of "), "{}", text(&output));
    assert_eq!(az.calls().len(), 1);
}

#[tokio::test]
async fn a_missing_az_is_named() {
    let az = Az::new("missing");
    fs::remove_file(az.directory.join("az")).unwrap();
    let input = json!([{ "clientId": CLIENT_ID, "id": ID, "name": "shop" }]).to_string();
    let output = federate(cluster(), Some(&az), &input, &["--apply"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("az does not start"),
        "{}",
        text(&output)
    );
}

#[tokio::test]
async fn every_output_has_every_credential() {
    let input = json!([{ "clientId": CLIENT_ID, "id": ID, "name": "shop" }]).to_string();
    for (form, part) in [
        ("az", "az identity federated-credential create "),
        (
            "terraform",
            "resource \"azurerm_federated_identity_credential\"",
        ),
        ("bicep", "    subject: '"),
        ("aso", "kind: FederatedIdentityCredential"),
        ("json", "\"update\": false"),
    ] {
        let written = federate(cluster(), None, &input, &["-o", form]).await;
        assert_eq!(written.status.code(), Some(1), "{}", text(&written));
        let count = text(&written).matches(part).count();
        assert_eq!(count, accounts().len(), "{form}: {}", text(&written));
    }
}

#[tokio::test]
async fn a_new_issuer_comes_beside_the_old_one() {
    let args = ["--new-issuer", "https://new.example.com", "-o", "json"];
    let output = federate(cluster(), None, &azure(ISSUER), &args).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["write"].as_array().unwrap().len(), accounts().len());
    assert_eq!(plan["write"][0]["issuer"], "https://new.example.com");
    assert_eq!(plan["remove"][0]["reason"], "formerIssuer");
}

#[tokio::test]
async fn usage_and_rights() {
    for (input, args) in [
        ("", &[][..]),
        ("no json", &[]),
        ("[]", &[]),
        ("[]", &["--issuer", "http://issuer.example.com"]),
        ("[]", &["--audience", "@/etc/passwd"]),
        ("[]", &["--apply", "-o", "json"]),
        ("[]", &["--credentials", "/absent"]),
    ] {
        let output = federate(cluster(), None, input, args).await;
        assert_eq!(
            output.status.code(),
            Some(64),
            "{args:?}: {}",
            text(&output)
        );
    }
    let mut cluster = cluster();
    cluster.forbidden.insert("serviceaccounts");
    let output = federate(cluster, None, &azure(ISSUER), &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("the right to list serviceaccounts"),
        "{}",
        text(&output)
    );
}
