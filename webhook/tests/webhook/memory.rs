//! The memory of a replica under attack. The chart limits it to 64 MiB, of which an idle one takes 8.

use serde_json::{Value, json};
use testkit::poll;
use testkit::process::{peak_resident_kib, resident_kib};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::fixture::CLIENT_ID;
use crate::http;
use crate::process::Webhook;
use crate::server::{labelled, review};

const MIB: u64 = 1024 * 1024;

/// What a replica may take above its memory without accounts.
const MOST: u64 = 32 * MIB;

/// Each is as large as Kubernetes accepts: 256 KiB of annotations.
fn hostile(nth: usize) -> Value {
    const SIZE: usize = 250_000;
    match nth % 3 {
        0 => json!({ "azure.workload.identity/client-id": "x".repeat(SIZE) }),
        1 => json!({ "azure.workload.identity/client-id": CLIENT_ID, "a": "y".repeat(SIZE) }),
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

/// 50,000 ordinary accounts and 500 hostile ones: as pages, as a stream, as events, and by look-up.
#[tokio::test]
async fn hostile_service_accounts_take_no_more_memory_than_others() {
    let idle = Webhook::ready(&Cluster::installed().await, &[]).await;
    let idle = peak_resident_kib(idle.id()).unwrap() * 1024;
    let cluster = Cluster::installed().await;
    for nth in 0..50_000 {
        let annotations = json!({ "azure.workload.identity/client-id": CLIENT_ID });
        cluster.account(
            &format!("team-{}", nth % 50),
            &format!("app-{nth}"),
            annotations,
        );
    }
    for nth in 0..500 {
        cluster.account("ns", &format!("hostile-{nth:03}"), hostile(nth));
    }
    for streams in [false, true] {
        if !streams {
            cluster.refuse_streams(hyper::StatusCode::UNPROCESSABLE_ENTITY);
        }
        let webhook = Webhook::ready(&cluster, &[]).await;
        webhook.logged("service accounts are listed").await;
        let grown = || peak_resident_kib(webhook.id()).unwrap() * 1024 - idle;
        assert!(grown() < MOST, "{} KiB after the list", grown() / 1024);
        if !streams {
            cluster.serve_streams();
            continue;
        }
        // Each is looked up, because the one in memory has no client id.
        let mut reviews = JoinSet::new();
        for nth in (0..300).step_by(3) {
            let (mut stream, body) = (
                webhook.connect().await,
                with_account(&format!("hostile-{nth:03}")),
            );
            reviews
                .spawn(async move { http::review(&mut stream, body.to_string().as_bytes()).await });
        }
        for answer in reviews.join_all().await {
            let answer = answer.unwrap().json();
            let message = answer["response"]["status"]["message"].as_str().unwrap();
            // At most 20 are looked up at once, each within half a second.
            let is_late = message.contains("no answer within 500 ms");
            assert!(
                is_late || message.contains("more than 64 characters: shorten it"),
                "{message}"
            );
        }
        for nth in 0..500 {
            cluster.account("ns", &format!("hostile-{nth:03}"), hostile(nth + 1));
        }
        let annotations = json!({ "azure.workload.identity/client-id": CLIENT_ID });
        cluster.account("ns", "last", annotations);
        let is_known = async || {
            webhook.review(&with_account("last")).await;
            let metrics = http::get(webhook.metrics, "/metrics").await.unwrap().text();
            metrics.contains("azwi_service_accounts 50501\n")
        };
        poll::until("the last event", is_known, |is_known| *is_known).await;
        assert!(grown() < MOST, "{} KiB after the events", grown() / 1024);
        let resident = resident_kib(webhook.id()).unwrap() * 1024;
        println!(
            "idle {} KiB, peak {} KiB, now {} KiB",
            idle / 1024,
            (idle + grown()) / 1024,
            resident / 1024
        );
    }
}
