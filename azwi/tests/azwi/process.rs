//! The program itself: exit codes, outputs, rights that are missing, a large cluster.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::certificate::Authority;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::api_server::{Cluster, SIGNATURE};
use crate::fixture::{CLIENT_ID, healthy, owned, pod, template, workload};

pub(crate) async fn azwi(cluster: Cluster, args: &[&str]) -> Output {
    let address = cluster.start().await;
    azwi_at(address, args).await
}

/// Runs the program with the cluster at an address.
pub(crate) async fn azwi_at(address: SocketAddr, args: &[&str]) -> Output {
    let file = kubeconfig(&format!("http://{address}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
    // Nothing outside of the test is asked.
    command
        .args(args)
        .env("KUBECONFIG", &file)
        .env("HTTPS_PROXY", "http://127.0.0.1:1");
    let output = timeout(Duration::from_secs(60), command.output()).await;
    std::fs::remove_file(file).unwrap();
    output.unwrap().unwrap()
}

/// Runs the program without a cluster.
pub(crate) fn azwi_alone(args: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_azwi"));
    command.args(args).output().unwrap()
}

pub(crate) fn kubeconfig(server: &str) -> PathBuf {
    let port = server.rsplit(':').next().unwrap();
    let file = std::env::temp_dir().join(format!("azwi-{}-{port}.json", std::process::id()));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": server } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "prod" } }],
    });
    let mut out = std::fs::File::create(&file).unwrap();
    out.write_all(config.to_string().as_bytes()).unwrap();
    file
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn a_healthy_cluster_exits_with_0() {
    let output = azwi(healthy(), &["check"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).starts_with("0 errors, 0 warnings;"),
        "{}",
        text(&output)
    );
}

#[tokio::test]
async fn a_finding_exits_with_1_and_says_what_fixes_it() {
    let mut cluster = healthy();
    cluster.get("Deployment", "shop")["spec"]["template"]["metadata"]["labels"] = json!({});
    cluster.remove("Pod", "shop-1-a");
    let output = azwi(cluster.clone(), &["check", "-n", "prod"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for part in [
        "Deployment prod/shop\n",
        "\n    kubectl patch -n prod deployment/shop --type merge --patch '{\"spec\":{\"template\":",
        "\n    AZWI-W001 docs/checks.md#azwi-w001\n",
    ] {
        assert!(text(&output).contains(part), "{}", text(&output));
    }
    assert!(
        !text(&output).contains('\u{1b}'),
        "colours without a terminal"
    );
    let output = azwi(cluster, &["check", "--category", "S,T"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[tokio::test]
async fn a_missing_right_exits_with_2_and_is_named() {
    for (resource, right) in [
        ("pods", "list pods in the cluster"),
        ("deployments", "list deployments.apps in the cluster"),
        ("serviceaccounts", "list serviceaccounts in the cluster"),
        ("create pods", "create pods in namespace prod"),
        (
            "mutatingwebhookconfigurations",
            "list mutatingwebhookconfigurations.admissionregistration.k8s.io in the cluster",
        ),
    ] {
        let mut cluster = healthy();
        cluster.forbidden.insert(resource);
        let output = azwi(cluster, &["check"]).await;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{resource}: {}",
            text(&output)
        );
        let sentence = format!("not checked: the right to {right} is missing");
        assert!(
            text(&output).contains(&sentence),
            "{resource}: {}",
            text(&output)
        );
    }
}

#[tokio::test]
async fn a_workload_that_does_not_exist_exits_with_2() {
    let output = azwi(healthy(), &["check", "deployment/absent"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("there is no such workload"),
        "{}",
        text(&output)
    );
}

#[tokio::test]
async fn an_api_server_that_is_away_exits_with_2() {
    let file = kubeconfig("http://127.0.0.1:1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
    command.args(["check", "--kubeconfig"]).arg(&file);
    let output = timeout(Duration::from_secs(60), command.output())
        .await
        .unwrap()
        .unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let text = text(&output);
    assert!(text.contains("Connection refused"), "{text}");
    assert_eq!(text.lines().count(), 1, "said once: {text}");
}

#[tokio::test]
async fn an_api_server_whose_certificate_is_not_trusted_is_named_with_the_reason() {
    let authority = Authority::new("Test").unwrap();
    let certificate = authority.server("api", &["127.0.0.1"]).unwrap();
    let acceptor = TlsAcceptor::from(certificate.server_config().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let file = kubeconfig(&format!("https://{address}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_azwi"));
    command.args(["migrate", "plan", "--kubeconfig"]).arg(&file);
    let output = timeout(Duration::from_secs(60), command.output()).await;
    std::fs::remove_file(file).unwrap();
    let output = output.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let text = text(&output);
    for part in [
        &format!("https://{address}/ cannot be reached: "),
        "invalid peer certificate",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// A full disk: the program says so, or ends with an exit code that does.
#[test]
fn an_output_that_cannot_be_written_is_no_success() {
    let run = |args: &[&str], out: &str, error: &str| {
        let file = |name: &str| std::fs::File::options().write(true).open(name).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_azwi"));
        command
            .args(args)
            .stdout(file(out))
            .stderr(file(error))
            .status()
            .unwrap()
            .code()
    };
    let (full, null) = ("/dev/full", "/dev/null");
    let check = ["check", "-f", "../deploy/examples/legacy-app.yaml"];
    assert_eq!(run(&check, null, null), Some(0));
    assert_eq!(run(&check, full, null), Some(2));
    assert_eq!(run(&["version"], full, full), Some(1));
    assert_eq!(run(&["podidentity", "detect"], null, full), Some(64));
    assert_eq!(
        run(&["jwks", "--public-keys", "absent"], null, full),
        Some(1)
    );
}

#[test]
fn each_command_has_a_manual_page() {
    for (words, part) in [
        (&[][..], "azwi\\-check(1)"),
        (&["check"][..], ".TH azwi-check 1"),
        (&["migrate", "plan"][..], "\\fB\\-\\-write\\fR"),
    ] {
        let output = azwi_alone(&[&["manual"], words].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(text(&output).contains(part), "{}", text(&output));
    }
    let output = azwi_alone(&["manual", "migrate", "absent"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
}

#[tokio::test]
async fn one_workload_is_checked_with_its_token_which_is_not_written() {
    for form in ["text", "json"] {
        let output = azwi(healthy(), &["check", "deploy/shop", "-o", form]).await;
        // The issuer cannot be reached from here, so not all was checked.
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let url = "https://issuer.example.com/cluster/.well-known/openid-configuration";
        assert!(text(&output).contains(url), "{}", text(&output));
        assert!(
            text(&output).contains("system:serviceaccount:prod:shop"),
            "{}",
            text(&output)
        );
        assert!(!text(&output).contains(SIGNATURE), "{}", text(&output));
    }
    let mut cluster = healthy();
    cluster.forbidden.insert("token");
    let output = azwi(cluster, &["check", "deploy/shop"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let right = "the right to create serviceaccounts/token in namespace prod is missing";
    assert!(text(&output).contains(right), "{}", text(&output));
}

#[tokio::test]
async fn json_has_stable_fields() {
    let mut cluster = healthy();
    cluster.get("Pod", "alone")["spec"]["volumes"] = json!([]);
    cluster.forbidden.insert("cronjobs");
    let output = azwi(cluster, &["check", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "AZWI-W005");
    assert_eq!(finding["category"], "W");
    assert_eq!(finding["severity"], "error");
    assert_eq!(
        finding["object"],
        json!({ "kind": "Pod", "namespace": "prod", "name": "alone" })
    );
    assert_eq!(finding["page"], "docs/checks.md#azwi-w005");
    assert!(finding["cause"].is_string() && finding["fix"].is_string());
    let gap = &report["notChecked"][0];
    assert_eq!(
        (&gap["verb"], &gap["resource"]),
        (&json!("list"), &json!("cronjobs.batch"))
    );
    assert_eq!(
        (&gap["forbidden"], &gap["namespace"]),
        (&json!(true), &Value::Null)
    );
    assert!(report["checked"]["workloads"].is_u64());
}

/// A list that expires between two pages goes on with a newer one.
#[tokio::test]
async fn goes_on_with_a_list_that_expired() {
    let mut cluster = healthy();
    cluster
        .objects
        .extend((0..600).map(|nth| pod(&format!("pod-{nth}"), CLIENT_ID)));
    cluster.expires = true;
    cluster.get("Pod", "pod-599")["spec"]["volumes"] = json!([]);
    let output = azwi(cluster, &["check"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("Pod prod/pod-599\n"),
        "{}",
        text(&output)
    );
    assert!(
        text(&output).contains("looked at 12 workloads, 603 pods"),
        "{}",
        text(&output)
    );
}

/// 5,000 pods and 2,000 workloads within 100 MiB. The time includes the fake API server's own, in the same two
/// cores and without optimisation; a release build has to take under 5 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_cluster_takes_bounded_memory() {
    let mut cluster = healthy();
    for nth in 0..1_000 {
        let deployment = workload(
            "Deployment",
            &format!("many-{nth}"),
            large(template("shop")),
        );
        let name = format!("many-{nth}-1");
        let set = workload("ReplicaSet", &name, large(template("shop")));
        cluster
            .objects
            .push(owned(set, "Deployment", &format!("many-{nth}")));
        cluster.objects.push(deployment);
        cluster.objects.push(workload(
            "StatefulSet",
            &format!("store-{nth}"),
            large(template("shop")),
        ));
        for pod_nth in 0..5 {
            let pod = large(pod(&format!("{name}-{pod_nth}"), CLIENT_ID));
            cluster.objects.push(owned(pod, "ReplicaSet", &name));
        }
    }
    let address = cluster.start().await;
    let file = kubeconfig(&format!("http://{address}"));
    let since = Instant::now();
    let mut command = Command::new("/usr/bin/env");
    command
        .arg("bash")
        .arg("-c")
        .arg(MEASURED)
        .arg(env!("CARGO_BIN_EXE_azwi"));
    command.env("KUBECONFIG", &file);
    let output = timeout(Duration::from_secs(120), command.output())
        .await
        .unwrap()
        .unwrap();
    std::fs::remove_file(file).unwrap();
    let took = since.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let text = text(&output);
    assert!(
        text.contains("looked at 2012 workloads, 5003 pods"),
        "{text}"
    );
    let peak: u64 = text.lines().last().unwrap().trim().parse().unwrap();
    println!("{took:?}, {peak} KiB");
    assert!(peak < 100 * 1024, "{peak} KiB");
}

/// Runs the program and writes the most memory that it had, in KiB.
const MEASURED: &str = r#"
import() { python3 -c 'import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)' "$@"; }
import "$0" check
"#;

/// Some 8 KB, as a pod with its managed fields.
fn large(mut object: Value) -> Value {
    object["metadata"]["managedFields"] = json!([{ "fieldsV1": { "text": "x".repeat(8_000) } }]);
    object
}

/// The dry run needs a right that reading does not.
#[tokio::test]
async fn the_dry_run_can_be_left_out() {
    let mut cluster = healthy();
    cluster.forbidden.insert("create pods");
    let output = azwi(cluster, &["check", "--no-dry-run"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
