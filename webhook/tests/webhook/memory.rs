//! The memory of a replica under attack. The chart limits it to 64 MiB, of which an idle one takes 8.

use std::sync::Arc;

use serde_json::{Value, json};
use testkit::poll;
use testkit::process::peak_resident_kib;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::fixture::CLIENT_ID;
use crate::http;
use crate::process::Webhook;
use crate::server::{labelled, review, silent};

/// MiB that reviews may take besides.
const MOST_OF_REVIEWS: u64 = 36;

const MIB: u64 = 1024 * 1024;

/// MiB that a replica may take above its memory without accounts.
const MOST_OF_ACCOUNTS: u64 = 24;

/// Bodies of nearly 7 MiB, by what they attack.
fn hostile_bodies() -> Vec<(&'static str, Vec<u8>)> {
    const SIZE: usize = 7_300_000;
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    // The escape at the end makes the parser copy the string, or quote it.
    let string =
        |part: &str, size: usize, end: &str| format!("\"{}{end}\"", part.repeat(size / part.len()));
    let long = |size| string("x", size, "");
    // In the place of a field of the pod.
    let pod = |place: &str, value: &str| {
        let mut pod = labelled(Value::Null);
        *pod.pointer_mut(place).unwrap() = "here".into();
        review("v1", pod).to_string().replace("\"here\"", value)
    };
    let strings = |size: usize, part: &str, end: &str| {
        let item = format!("{{\"name\":{}}}", string(part, size, end));
        format!("[{}]", vec![item; SIZE / (size + 16)].join(","))
    };
    let list = |item: &str| {
        format!(
            "[{item}{}]",
            format!(",{item}").repeat(SIZE / (item.len() + 1))
        )
    };
    let mut keys = String::from("{\"a\":\"\"");
    let mut own_keys = keys.clone();
    for nth in 0..SIZE / 12 {
        keys.push_str(&format!(",\"{nth:06}\":1"));
        if nth < SIZE / 40 {
            own_keys.push_str(&format!(",\"azure.workload.identity/{nth}\":\"\""));
        }
    }
    keys.push('}');
    own_keys.push('}');
    let resources = format!("{{\"requests\":{keys}}}");
    let mut with_uid = review("v1", labelled(Value::Null));
    with_uid["request"]["uid"] = "u".repeat(500_000).into();
    [
        ("one string", long(SIZE)),
        (
            "one string that ends in an invalid escape",
            string("x", SIZE, "\\x"),
        ),
        (
            "a string in the place of the request",
            format!("{{\"request\":{}}}", long(500_000)),
        ),
        (
            "a string for a kind",
            format!("{{\"kind\":{}}}", long(SIZE - 20)),
        ),
        ("a string for the uid", with_uid.to_string()),
        ("a string for the spec", pod("/spec", &long(SIZE - 1_000))),
        (
            "control characters for the spec",
            pod("/spec", &string("\\u0001", 500_000, "")),
        ),
        (
            "other characters for the spec",
            pod("/spec", &string("\u{80}", 500_000, "\\n")),
        ),
        (
            "strings for names",
            pod("/spec/containers", &strings(500_000, "x", "\\n")),
        ),
        (
            "many strings for names",
            pod("/spec/containers", &strings(1_000, "x", "\\n")),
        ),
        (
            "a string for a service account",
            pod("/spec/serviceAccountName", &string("x", 500_000, "\\n")),
        ),
        ("deep lists", "[".repeat(SIZE)),
        ("deep objects", "{\"a\":".repeat(SIZE / 5)),
        (
            "deep lists in a pod",
            pod("/spec/containers", &"[".repeat(40_000)),
        ),
        ("wide: objects", pod("/spec/containers", &list("{}"))),
        (
            "wide: 49,000 objects",
            pod(
                "/spec/containers",
                &format!("[{{}}{}]", ",{}".repeat(49_000)),
            ),
        ),
        ("wide: lists", pod("/spec/containers", &list("[]"))),
        ("wide: numbers", pod("/spec/containers", &list("1"))),
        (
            "wide: ignored numbers",
            pod("/metadata/name", "\"a\",\"x\":[1]").replace("[1]", &list("1")),
        ),
        (
            "a number",
            pod("/spec/containers", &"1".repeat(SIZE - 1_000)),
        ),
        (
            "a small number",
            pod(
                "/spec/containers",
                &format!("0.{}1", "0".repeat(SIZE - 1_000)),
            ),
        ),
        (
            "wide: strings of an affinity",
            pod(
                "/spec",
                &format!(
                    "{{\"affinity\":{{\"nodeAffinity\":{{\"{REQUIRED}\":{{\"nodeSelectorTerms\":\
                    [{{\"matchExpressions\":[{{\"values\":{}}}]}}]}}}}}}}}",
                    list("\"\"")
                ),
            ),
        ),
        ("many keys", pod("/metadata/annotations", &keys)),
        (
            "many keys of the product",
            pod("/metadata/annotations", &own_keys),
        ),
        (
            "many quantities",
            pod("/spec", &format!("{{\"resources\":{resources}}}")),
        ),
        ("spaces", " ".repeat(SIZE)),
        ("zero bytes", "\0".repeat(SIZE)),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into()
}

/// Each alone, and then 32 at a time: of the kinds that took most, and of all kinds beside each other.
#[tokio::test]
async fn hostile_bodies_leave_a_replica_below_its_memory_limit() {
    let webhook = Webhook::ready(&crate::server::cluster().await, &["--log-level=debug"]).await;
    let before = peak_resident_kib(webhook.id()).unwrap();
    let bodies: Vec<_> = hostile_bodies()
        .into_iter()
        .map(|(name, body)| (name, Arc::<[u8]>::from(body)))
        .collect();
    let most: [&str; 4] = [
        "one string",
        "wide: ignored numbers",
        "wide: lists",
        "wide: strings of an affinity",
    ];
    let of_one_kind = bodies.iter().map(|body| {
        let count = if most.contains(&body.0) { 32 } else { 1 };
        vec![body.clone(); count]
    });
    let all: Vec<_> = bodies.iter().cycle().take(96).cloned().collect();
    let of_all_kinds = all.chunks(32).map(<[_]>::to_vec);
    let rounds: Vec<Vec<_>> = of_one_kind.chain(of_all_kinds).collect();
    for round in rounds {
        let kinds = format!("{} bodies from {}", round.len(), round[0].0);
        let mut sending = JoinSet::new();
        for (name, body) in round {
            let mut stream = webhook.connect().await;
            sending.spawn(async move { (name, http::review(&mut stream, &body).await) });
        }
        for (name, answer) in sending.join_all().await {
            // A connection that is closed while the client still sends is reset.
            let Ok(answer) = answer else { continue };
            assert!(
                [200, 400, 503].contains(&answer.status),
                "{name}: {}",
                answer.text()
            );
            let mut text = answer.text();
            if answer.status == 200 {
                // Everything but the patch, which grows with the number of containers.
                let mut answer = answer.json();
                answer["response"]["patch"] = Value::Null;
                text = answer.to_string();
            }
            assert!(text.len() < 2_000, "{name}: {} bytes", text.len());
        }
        let grown = (peak_resident_kib(webhook.id()).unwrap() - before) / 1024;
        assert!(grown < MOST_OF_REVIEWS, "{grown} MiB more after {kinds}");
    }
    let answer = webhook.review(&review("v1", labelled(Value::Null))).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
    for line in webhook.log() {
        assert!(
            line.len() < 2_000,
            "{} bytes in a line of the log",
            line.len()
        );
    }
}

/// Of 100 KB each, of which 60 KB arrive, over as many connections as the webhook accepts.
#[tokio::test]
async fn slow_bodies_on_every_connection_leave_a_replica_below_its_memory_limit() {
    let webhook = Webhook::ready(&crate::server::cluster().await, &[]).await;
    let before = peak_resident_kib(webhook.id()).unwrap();
    let head = "POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Content-Length: 100000\r\n\r\n";
    let part = [head.as_bytes(), &[b' '; 60_000]].concat();
    let mut held = Vec::new();
    for nth in 0..1_024_u16 {
        let stream = silent(webhook.admission, (nth % 50).try_into().unwrap()).await;
        let stream = http::with_tls(stream, &webhook.cluster.bundle()).await;
        let mut stream = stream.unwrap();
        // Those that make way are closed.
        let _ = stream.write_all(&part).await;
        held.push(stream);
    }
    let grown = (peak_resident_kib(webhook.id()).unwrap() - before) / 1024;
    println!("{grown} MiB more");
    assert!(grown < MOST_OF_REVIEWS, "{grown} MiB more");
    let answer = webhook.review(&review("v1", labelled(Value::Null))).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
    drop(held);
}

/// Each is as large as Kubernetes accepts: 256 KiB of annotations.
fn hostile(nth: usize) -> Value {
    const SIZE: usize = 250_000;
    match nth % 10 {
        0..4 => json!({ "azure.workload.identity/client-id": "x".repeat(SIZE) }),
        4..9 => json!({ "azure.workload.identity/client-id": CLIENT_ID, "a": "y".repeat(SIZE) }),
        _ => (0..2_900)
            .map(|key| {
                let key = format!("azure.workload.identity/{}{key:04}", "k".repeat(50));
                (key, Value::from("12345678"))
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn with_account(name: &str) -> Value {
    let mut pod = labelled(Value::Null);
    pod["spec"]["serviceAccountName"] = name.into();
    review("v1", pod)
}

/// 50,000 ordinary accounts and 500 hostile ones: in a stream, as events, by look-up, and in pages.
#[tokio::test]
async fn hostile_service_accounts_take_no_more_memory_than_others() {
    let idle = Webhook::ready(&Cluster::installed().await, &[]).await;
    let idle = peak_resident_kib(idle.id()).unwrap() * 1024;
    let cluster = Cluster::installed().await;
    for nth in 0..50_000 {
        let (namespace, name) = (format!("team-{}", nth % 50), format!("app-{nth}"));
        cluster.account(&namespace, &name, ordinary());
    }
    for nth in 0..100 {
        cluster.account("ns", &hostile_name(nth), hostile(nth));
    }
    let assert_grown = |webhook: &Webhook, when: &str| {
        let grown = (peak_resident_kib(webhook.id()).unwrap() * 1024 - idle) / MIB;
        assert!(grown < MOST_OF_ACCOUNTS, "{grown} MiB after {when}");
    };

    let webhook = Webhook::ready(&cluster, &[]).await;
    webhook.logged("service accounts are listed").await;
    assert_grown(&webhook, "a list as a stream");
    // Each is looked up, because the one in memory has no client id. 20 are looked up at once.
    let mut reviews = JoinSet::new();
    for nth in (0..100).filter(|nth| nth % 10 < 4) {
        let mut stream = webhook.connect().await;
        let body = with_account(&hostile_name(nth)).to_string();
        reviews.spawn(async move { http::review(&mut stream, body.as_bytes()).await });
    }
    for answer in reviews.join_all().await {
        let answer = answer.unwrap().json();
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        let is_late = message.contains("no answer within 500 ms");
        let is_long = message.contains("with a value of more than 64 characters: shorten it");
        assert!(is_late || is_long, "{message}");
    }
    for nth in 0..100 {
        cluster.account("ns", &hostile_name(nth), hostile(nth + 1));
    }
    cluster.account("ns", "last", ordinary());
    let is_known = async || {
        let metrics = http::get(webhook.metrics, "/metrics").await.unwrap().text();
        metrics.contains("azwi_service_accounts 50101\n")
    };
    poll::until("the last event", is_known, |is_known| *is_known).await;
    assert_grown(&webhook, "events");
    drop(webhook);

    for nth in 100..500 {
        cluster.account("ns", &hostile_name(nth), hostile(nth));
    }
    cluster.refuse_streams(hyper::StatusCode::UNPROCESSABLE_ENTITY);
    let webhook = Webhook::ready(&cluster, &[]).await;
    webhook.logged("service accounts are listed").await;
    assert_grown(&webhook, "a list in pages");
}

fn ordinary() -> Value {
    json!({ "azure.workload.identity/client-id": CLIENT_ID })
}

fn hostile_name(nth: usize) -> String {
    format!("hostile-{nth:03}")
}
