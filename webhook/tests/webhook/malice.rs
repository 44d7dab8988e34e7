//! Whoever may annotate service accounts and pods, or send anything to the webhook's port.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cluster::decoded;
use crate::fixture::CLIENT_ID;
use crate::http::{self, exchange};
use crate::process::Webhook;
use crate::server::{cluster, labelled, review};

const PREFIX: &str = "azure.workload.identity";

const NOTE: &str = "/metadata/annotations/azure.workload.identity~1injected";

const HOSTILE: [&str; 5] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "a\r\n2026-01-01T00:00:00Z ERROR the cluster is on fire",
    r#"x"},{"op":"replace","path":"/spec/serviceAccountName","value":"admin"#,
    "\u{9b}31m\u{202e}x",
    "$(AZURE_CLIENT_SECRET)",
];

/// Control characters, and one that turns the order of others around.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\n') || c == '\u{202e}'
}

#[tokio::test]
async fn hostile_annotations_are_no_instructions_to_patch_log_or_terminal() {
    let cluster = cluster().await;
    let mut pods = Vec::new();
    for (nth, text) in HOSTILE.into_iter().enumerate() {
        for key in [
            "client-id",
            "tenant-id",
            "service-account-token-expiration",
            text,
        ] {
            let mut annotations = json!({ format!("{PREFIX}/client-id"): CLIENT_ID });
            annotations[format!("{PREFIX}/{key}")] = text.into();
            let account = format!("a{nth}-{}", pods.len());
            cluster.account("ns", &account, annotations);
            let mut pod = labelled(json!({ format!("{PREFIX}/inject-proxy-sidecar"): "true" }));
            pod["spec"]["serviceAccountName"] = account.into();
            pods.push(pod);
        }
        for key in [
            "skip-containers",
            "inject-proxy-sidecar",
            "proxy-sidecar-port",
            "proxy-mode",
            "service-account-token-expiration",
            "identity-map",
            "injected",
            "proxy-cpu-limit",
            text,
        ] {
            pods.push(labelled(json!({
                format!("{PREFIX}/inject-proxy-sidecar"): "true",
                format!("{PREFIX}/{key}"): text,
            })));
        }
    }
    let webhook = Webhook::ready(&cluster, &["--log-level=debug"]).await;
    for pod in pods {
        let answer = webhook.review(&review("v1", pod.clone())).await.json();
        let response = &answer["response"];
        let warnings = response["warnings"].as_array().into_iter().flatten();
        for told in warnings.chain([&response["status"]["message"]]) {
            let told = told.as_str().unwrap_or_default();
            assert!(!told.contains(is_odd) && !told.contains('\n'), "{told:?}");
        }
        let Some(_) = response["patch"].as_str() else {
            assert_eq!(response["allowed"], false, "{pod}");
            continue;
        };
        let patch: Vec<Value> = serde_json::from_str(&decoded(&response["patch"])).unwrap();
        for operation in patch {
            // Its own note alone is replaced.
            let is_note = operation["path"] == NOTE;
            assert!(operation["op"] == "add" || is_note, "law 2: {operation}");
            assert_ne!(operation["path"], "/spec/serviceAccountName");
            // Kubernetes expands $(NAME) in the values of variables.
            let expanded = operation.to_string().replace("$$", "").contains("$(");
            assert!(!expanded || pod_wrote(&pod, "$("), "{operation}");
        }
    }
    let metrics = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    assert_eq!(metrics.find(is_odd), None);
    for part in ["owned", "fire", "admin", "AZURE_CLIENT_SECRET"] {
        assert!(!metrics.contains(part), "{part}: {metrics}");
    }
    webhook.logged("pod refused").await;
    for line in webhook.log() {
        assert_eq!(line.find(is_odd), None, "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line}");
    }
}

/// Whether the pod's own annotations have the text: whoever wrote them wrote its variables, too.
fn pod_wrote(pod: &Value, text: &str) -> bool {
    pod["metadata"]["annotations"].to_string().contains(text)
}

/// The identity is the service account's, whatever the pod says of itself.
#[tokio::test]
async fn a_pod_cannot_name_another_identity_by_annotations() {
    const OTHER: &str = "99999999-5057-5ddf-91e0-36dec72071f5";
    let cluster = cluster().await;
    cluster.account(
        "ns",
        "other",
        json!({ format!("{PREFIX}/client-id"): OTHER }),
    );
    let webhook = Webhook::ready(&cluster, &[]).await;
    let forged = json!({ "clientId": CLIENT_ID, "tenantId": "forged" }).to_string();
    let pod = labelled(json!({
        format!("{PREFIX}/client-id"): OTHER,
        format!("{PREFIX}/tenant-id"): "attacker.example",
        format!("{PREFIX}/service-account"): "other",
        format!("{PREFIX}/injected"): forged,
    }));
    let answer = webhook.review(&review("v1", pod)).await.json();
    let patch = decoded(&answer["response"]["patch"]);
    assert!(patch.contains(CLIENT_ID), "{patch}");
    assert!(
        !patch.contains(OTHER) && !patch.contains("attacker.example"),
        "{patch}"
    );
    assert_eq!(
        answer["response"]["auditAnnotations"]["client-id"],
        CLIENT_ID
    );
    let warnings = answer["response"]["warnings"].to_string();
    assert!(
        warnings.contains("client-id"),
        "it is told that this does nothing: {answer}"
    );
}

#[tokio::test]
async fn a_compressed_review_is_refused_as_it_is() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    // An empty stream, which is all that a bomb needs to be unpacked at all.
    let packed = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let head = format!(
            "POST /mutate-v1-pod HTTP/1.1\r\nContent-Type: application/json\r\n\
             Content-Encoding: {coding}"
        );
        let answer = exchange(&mut webhook.connect().await, &head, &packed)
            .await
            .unwrap();
        assert_eq!(answer.status, 400, "{coding}: {}", answer.text());
    }
}

/// Reviews as large as they get, more than its memory has room for, all but their last bytes sent.
#[tokio::test]
async fn large_reviews_wait_for_their_turn() {
    const MIB: usize = 1024 * 1024;
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let head = "POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let request = format!(
        "{head}Content-Length: {}\r\n\r\n{}",
        6 * MIB,
        " ".repeat(5 * MIB)
    );
    let request: Arc<str> = request.into();
    let before = peak(webhook.id());
    let mut sending = JoinSet::new();
    for _ in 0..40 {
        let (mut stream, request) = (webhook.connect().await, Arc::clone(&request));
        sending.spawn(async move {
            // Until nothing more is read of it.
            let _ = timeout(Duration::from_secs(2), stream.write_all(request.as_bytes())).await;
            stream
        });
    }
    let held = sending.join_all().await;
    assert!(peak(webhook.id()) < before + 40 * MIB as u64);
    // Usual ones pass by.
    let answer = webhook.review(&review("v1", labelled(Value::Null))).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
    drop(held);
}

/// The most memory of a process that was ever resident, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// Its memory has the key of the certificate authority.
#[tokio::test]
async fn law_8_no_core_is_dumped_and_nobody_may_look_into_the_process() {
    const SOMEBODY: u32 = 1501;
    let binary = File::open(env!("CARGO_BIN_EXE_webhook")).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    let user = if geteuid().is_root() {
        command.uid(SOMEBODY);
        SOMEBODY
    } else {
        geteuid().as_raw()
    };
    let webhook = Webhook::start_as(command, &cluster().await, &[]).await;
    webhook.until_ready().await;
    // The kernel gives what it shows of a process to root as soon as it must not be dumped.
    let shown = format!("/proc/{}/maps", webhook.id());
    assert_ne!(std::fs::metadata(shown).unwrap().uid(), user);
}
