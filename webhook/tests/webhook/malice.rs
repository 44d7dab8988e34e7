//! Attacks by someone who may annotate service accounts and pods, or reach the webhook's port.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use serde_json::{Value, json};
use testkit::process::peak_resident_kib;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, decoded};
use crate::fixture::CLIENT_ID;
use crate::http::{self, exchange};
use crate::process::Webhook;
use crate::server::{cluster, labelled, review, silent};

const PREFIX: &str = "azure.workload.identity";

const MARKER: &str = "/metadata/annotations/azure.workload.identity~1injected";

const HOSTILE: [&str; 5] = [
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "a\r\n2026-01-01T00:00:00Z ERROR the cluster is on fire",
    r#"x"},{"op":"replace","path":"/spec/serviceAccountName","value":"admin"#,
    "\u{9b}31m\u{202e}x",
    "$(AZURE_CLIENT_SECRET)",
];

/// Control characters, and one that reverses the order of others.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\n') || c == '\u{202e}'
}

#[tokio::test]
async fn hostile_annotations_change_neither_patch_nor_log_nor_terminal() {
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
            "proxy-prefetch",
            "proxy-verify",
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
        for sentence in warnings.chain([&response["status"]["message"]]) {
            let sentence = sentence.as_str().unwrap_or_default();
            assert!(
                !sentence.contains(is_odd) && !sentence.contains('\n'),
                "{sentence:?}"
            );
        }
        let Some(_) = response["patch"].as_str() else {
            assert_eq!(response["allowed"], false, "{pod}");
            continue;
        };
        let patch: Vec<Value> = serde_json::from_str(&decoded(&response["patch"])).unwrap();
        for operation in patch {
            // Only its own annotation is replaced.
            let is_marker = operation["path"] == MARKER;
            assert!(operation["op"] == "add" || is_marker, "law 2: {operation}");
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

/// Whether the pod's own annotations have the text. The author of a pod may write any variable.
fn pod_wrote(pod: &Value, text: &str) -> bool {
    pod["metadata"]["annotations"].to_string().contains(text)
}

/// The identity is the service account's, whatever the pod's annotations say.
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
        "no warning that the annotation has no effect: {answer}"
    );
}

#[tokio::test]
async fn refuses_a_compressed_review_without_unpacking_it() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    // An empty gzip stream, which is harmless, but must not be unpacked either.
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

/// 40 reviews of 6 MiB, of which 5 MiB are sent: more than the memory limit allows for.
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
    let before = peak(&webhook);
    let mut sending = JoinSet::new();
    for _ in 0..40 {
        let (mut stream, request) = (webhook.connect().await, Arc::clone(&request));
        sending.spawn(async move {
            // Ends early when the webhook reads no more.
            let _ = timeout(Duration::from_secs(2), stream.write_all(request.as_bytes())).await;
            stream
        });
    }
    let held = sending.join_all().await;
    assert!(peak(&webhook) < before + 40 * MIB as u64);
    // Small reviews do not wait.
    let answer = webhook.review(&review("v1", labelled(Value::Null))).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
    drop(held);
}

/// 40 silent connections to the health port, 1,100 to the admission port, and 64 bodies of 1 MB of
/// which a byte comes now and then. Each that is closed is opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_api_servers_and_probes_while_an_attack_lasts() {
    // Of the API server. It is a fraction of a second where the machine has nothing else to do.
    const TIMEOUT: Duration = Duration::from_secs(10);
    let webhook = Arc::new(Webhook::ready(&cluster().await, &[]).await);
    let mut large = labelled(Value::Null);
    large["metadata"]["annotations"] = json!({ "a": "x".repeat(200_000) });
    for addresses in [1, 50] {
        let _attacks = attack(&webhook, addresses).await;
        let end = Instant::now() + Duration::from_secs(4);
        let mut slowest = Duration::ZERO;
        while Instant::now() < end {
            let since = Instant::now();
            let probe = timeout(TIMEOUT, http::get(webhook.health, "/healthz")).await;
            let probe = probe.expect("no answer to a probe in time");
            assert_eq!(probe.unwrap().status, 200);
            for pod in [labelled(Value::Null), large.clone()] {
                let review = review("v1", pod);
                let answer = timeout(TIMEOUT, reviewed(&webhook, &review)).await;
                let answer = answer.expect("no answer to a review in time");
                assert_eq!(answer.json()["response"]["allowed"], true);
            }
            slowest = slowest.max(since.elapsed());
        }
        println!("{addresses} addresses: three answers within {slowest:?}");
    }
}

/// The answer to a review, which is sent again when it had to make way: on a busy machine this client may be as slow as
/// the attackers.
async fn reviewed(webhook: &Webhook, review: &Value) -> http::Answer {
    loop {
        let answer = webhook.review(review).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

async fn attack(webhook: &Arc<Webhook>, addresses: usize) -> JoinSet<()> {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut attacks = JoinSet::new();
    let last = move |nth: usize| u8::try_from(nth % addresses).unwrap();
    for (address, count) in [(webhook.health, 40), (webhook.admission, 1_100)] {
        for nth in 0..count {
            let mut stream = silent(address, last(nth)).await;
            attacks.spawn(async move {
                loop {
                    let _ = stream.read(&mut [0]).await;
                    sleep(PAUSE).await;
                    stream = silent(address, last(nth)).await;
                }
            });
        }
    }
    for nth in 0..64 {
        let webhook = Arc::clone(webhook);
        attacks.spawn(async move {
            loop {
                let _ = slow_body(&webhook, last(nth)).await;
                sleep(PAUSE).await;
            }
        });
    }
    attacks
}

/// Sends a quarter of a review of 1 MB, and then a byte now and then, until the webhook ends it.
async fn slow_body(webhook: &Webhook, last: u8) -> std::io::Result<()> {
    let stream = silent(webhook.admission, last).await;
    let mut stream = http::with_tls(stream, &webhook.cluster.bundle()).await?;
    let head = "POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Content-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&[b' '; 250_000]).await?;
    loop {
        let answer = timeout(Duration::from_millis(100), stream.read_u8()).await;
        if answer.is_ok() {
            return Ok(());
        }
        stream.write_all(b" ").await?;
    }
}

/// A body of 7 MiB can have more than two million objects. Each would take some 200 bytes.
#[tokio::test]
async fn refuses_a_review_of_very_many_objects_before_it_is_parsed() {
    const MIB: usize = 1024 * 1024;
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let mut pod = labelled(Value::Null);
    pod["spec"]["containers"] = "many".into();
    let many = format!("[{}{{}}]", "{},".repeat(6 * MIB / 3));
    let body = review("v1", pod).to_string().replace("\"many\"", &many);
    let before = peak(&webhook);
    let answer = http::review(&mut webhook.connect().await, body.as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("50000 objects and lists"),
        "{}",
        answer.text()
    );
    let grown = peak(&webhook) - before;
    assert!(grown < 32 * MIB as u64, "{grown} bytes more");
}

/// Small reviews of very many objects, which all wait for the API server.
#[tokio::test]
async fn reviews_that_wait_for_the_api_server_share_a_bound_on_memory() {
    const MIB: usize = 1024 * 1024;
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &[]).await;
    cluster.slow_accounts(true);
    let before = peak(&webhook);
    let reviews = reviews_that_wait(&cluster, &webhook, 100).await;
    cluster.slow_accounts(false);
    for answer in reviews.join_all().await {
        assert_eq!(answer.unwrap().status, 200);
    }
    // Unbounded it is more than 250 MiB.
    let grown = peak(&webhook) - before;
    assert!(grown < 48 * MIB as u64, "{grown} bytes more");
}

/// They wait for the API server, and the pod with a known account needs no answer of it.
#[tokio::test]
async fn reviews_of_very_many_objects_do_not_delay_an_ordinary_pod() {
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &[]).await;
    cluster.slow_accounts(true);
    let _reviews = reviews_that_wait(&cluster, &webhook, 40).await;
    let mut pod = labelled(Value::Null);
    pod["spec"]["volumes"] = vec![json!({ "name": "v", "emptyDir": {} }); 100].into();
    // Two at a time, each for half a second, would take ten seconds.
    let review = review("v1", pod);
    let answer = timeout(Duration::from_secs(8), webhook.review(&review)).await;
    let answer = answer.expect("no answer in time").json();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
}

/// Sends so many reviews of very many objects, and waits until the API server is asked for an account.
async fn reviews_that_wait(
    cluster: &Cluster,
    webhook: &Webhook,
    count: usize,
) -> JoinSet<std::io::Result<http::Answer>> {
    let mut reviews = JoinSet::new();
    for nth in 0..count {
        let body = unknown_with_objects(nth, 20_000);
        let mut stream = webhook.connect().await;
        reviews.spawn(async move { http::review(&mut stream, body.as_bytes()).await });
    }
    cluster
        .until_requests("GET /api/v1/namespaces/ns/serviceaccounts/slow-", 1)
        .await;
    reviews
}

/// A review of so many objects, whose account is not in memory.
fn unknown_with_objects(nth: usize, objects: usize) -> String {
    let mut pod = labelled(Value::Null);
    pod["spec"]["serviceAccountName"] = format!("slow-{nth}").into();
    pod["spec"]["containers"] = "many".into();
    let many = format!("[{}{{}}]", "{},".repeat(objects));
    review("v1", pod).to_string().replace("\"many\"", &many)
}

/// The peak of the webhook's resident memory, in bytes.
fn peak(webhook: &Webhook) -> u64 {
    peak_resident_kib(webhook.id()).unwrap() * 1024
}

/// The process has the key of the certificate authority in memory.
#[tokio::test]
async fn law_8_dumps_no_core_and_lets_no_other_process_read_its_memory() {
    const OTHER_USER: u32 = 1501;
    let binary = File::open(env!("CARGO_BIN_EXE_webhook")).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    let user = if geteuid().is_root() {
        command.uid(OTHER_USER);
        OTHER_USER
    } else {
        geteuid().as_raw()
    };
    let webhook = Webhook::start_as(command, &cluster().await, &[]).await;
    webhook.until_ready().await;
    // The files of a process in /proc belong to root when the process must not be dumped (proc(5)).
    let shown = format!("/proc/{}/maps", webhook.id());
    assert_ne!(std::fs::metadata(shown).unwrap().uid(), user);
}

/// A loop that creates pods with a mistake fills no disk.
#[tokio::test]
async fn a_flood_of_refused_pods_is_logged_at_a_limited_rate_with_a_count() {
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &[]).await;
    let pod = labelled(json!({
        format!("{PREFIX}/inject-proxy-sidecar"): "true",
        format!("{PREFIX}/identity-map"): "none",
    }));
    let start = Instant::now();
    let refuse = async || {
        let answer = webhook.review(&review("v1", pod.clone())).await.json();
        assert_eq!(answer["response"]["allowed"], false, "{answer}");
    };
    for _ in 0..250 {
        refuse().await;
    }
    // The next window's first line has the count of the last.
    let suppressed = async || {
        refuse().await;
        webhook.log()
    };
    let is_counted = |log: &Vec<String>| log.iter().any(|line| line.contains("suppressed="));
    let log = testkit::poll::until("the count", suppressed, is_counted).await;
    let windows = usize::try_from(start.elapsed().as_secs() / 10).unwrap() + 1;
    let lines = log.iter().filter(|line| line.contains("pod refused"));
    let lines = lines.count();
    assert!((100..=windows * 100).contains(&lines), "{lines}");
}
