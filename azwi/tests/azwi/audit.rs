//! The audit as a program, against the fake API server: metric, Events, evictions.

use std::process::Stdio;

use axum::http::{Method, StatusCode};
use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::poll::until;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::api_server::Cluster;
use crate::fixture::{CLIENT_ID, healthy, owned, pod, template, workload};
use crate::live::Live;
use crate::process::kubeconfig;

const IMAGE: &str = "--image=registry.example.com/proxy:v0.1.0";

/// The program, ended with the test.
pub(crate) struct Audit {
    child: Child,
    health: String,
    metrics: String,
}

impl Audit {
    pub(crate) async fn start(server: std::net::SocketAddr, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_azwi"))
            .args([
                "audit",
                IMAGE,
                "--health-addr=127.0.0.1:0",
                "--metrics-addr=127.0.0.1:0",
            ])
            .args(args)
            .env("KUBECONFIG", kubeconfig(&format!("http://{server}")))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut addresses = Vec::new();
        while addresses.len() < 2 {
            let line = lines.next_line().await.unwrap().expect("it listens");
            let line: Value = serde_json::from_str(&line).unwrap();
            addresses.extend(line["address"].as_str().map(str::to_owned));
        }
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                println!("{line}")
            }
        });
        let metrics = addresses.pop().unwrap();
        let health = addresses.pop().unwrap();
        Self {
            child,
            health,
            metrics,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) async fn metrics(&self) -> String {
        get(&self.metrics, "/metrics").await
    }

    /// Waits for a sample.
    async fn sample(&self, sample: &str) {
        let line = format!("\n{sample}\n");
        let _ = until(
            sample,
            async || self.metrics().await,
            |it| it.contains(&line),
        )
        .await;
    }
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A cluster with a Deployment of so many ready pods without a token.
fn uninjected(pods: usize) -> Cluster {
    let mut cluster = healthy();
    cluster.objects.retain(|it| it["kind"] != "Pod");
    cluster.remove("Deployment", "shop");
    cluster.remove("ReplicaSet", "shop-1");
    let mut deployment = workload("Deployment", "shop", template("shop"));
    deployment["metadata"]["generation"] = json!(1);
    deployment["metadata"]["uid"] = json!("d1");
    deployment["spec"]["replicas"] = json!(pods);
    deployment["spec"]["selector"] = json!({});
    deployment["status"] =
        json!({ "observedGeneration": 1, "replicas": pods, "updatedReplicas": pods });
    cluster.objects.push(deployment);
    let mut set = owned(
        workload("ReplicaSet", "shop-1", template("shop")),
        "Deployment",
        "shop",
    );
    reference(&mut set, "apps/v1", "d1");
    set["metadata"]["uid"] = json!("r1");
    cluster.objects.push(set);
    for nth in 0..pods {
        let mut pod = ready(&format!("shop-1-{nth}"));
        pod["spec"]["volumes"] = json!([]);
        pod["spec"]["containers"][0]["env"] = json!([]);
        cluster.objects.push(pod);
    }
    cluster
}

/// A pod of the Deployment as the webhook leaves it.
fn ready(name: &str) -> Value {
    let mut pod = owned(pod(name, CLIENT_ID), "ReplicaSet", "shop-1");
    reference(&mut pod, "apps/v1", "r1");
    pod["metadata"]["uid"] = json!(name);
    pod["spec"]["volumes"][1] = Value::Null;
    pod["spec"]["volumes"].as_array_mut().unwrap().truncate(1);
    pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
    pod
}

fn reference(object: &mut Value, version: &str, uid: &str) {
    object["metadata"]["ownerReferences"][0]["apiVersion"] = json!(version);
    object["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
}

#[tokio::test]
async fn reports_a_pod_without_a_token_as_metric_and_event_until_it_is_gone() {
    let (live, server) = Live::start(uninjected(2)).await;
    let audit = Audit::start(server, &[]).await;
    audit
        .sample(r#"azwi_audit_findings{code="AZWI-W005",namespace="prod"} 2"#)
        .await;
    let health = get(&audit.health, "/readyz").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let event = live.written("an Event", is_event).await;
    let regarding = &event["regarding"];
    assert_eq!(
        (&regarding["kind"], &regarding["name"], &regarding["uid"]),
        (&json!("Deployment"), &json!("shop"), &json!("d1"))
    );
    assert_eq!(event["reason"], "NoToken");
    let note = event["note"].as_str().unwrap();
    assert!(
        note.contains("2 pods, such as shop-1-0") && note.ends_with("see docs/checks.md#azwi-w005"),
        "{note}"
    );
    live.change(|cluster| {
        cluster.get("Pod", "shop-1-0")["spec"]["volumes"] = ready("x")["spec"]["volumes"].clone();
        cluster.remove("Pod", "shop-1-1");
    });
    let is_gone =
        |it: &String| it.contains("azwi_audit_pods 1\n") && !it.contains("azwi_audit_findings{");
    let _ = until("no finding", async || audit.metrics().await, is_gone).await;
    assert!(live.evictions().is_empty(), "evictions are off by default");
}

#[tokio::test]
async fn evicts_one_pod_at_a_time_and_the_next_when_the_first_is_replaced() {
    let (live, server) = Live::start(uninjected(2)).await;
    let audit = Audit::start(server, &["--evict"]).await;
    let first = live
        .written("the first eviction", |_, path| {
            path.ends_with("shop-1-0/eviction")
        })
        .await;
    assert_eq!(first["deleteOptions"]["preconditions"]["uid"], "shop-1-0");
    live.change(|cluster| {
        cluster.remove("Pod", "shop-1-0");
        let mut new = ready("shop-1-2");
        new["status"]["conditions"][0]["status"] = json!("False");
        cluster.objects.push(new);
    });
    audit
        .sample(r#"azwi_audit_findings{code="AZWI-W005",namespace="prod"} 1"#)
        .await;
    assert_eq!(live.evictions().len(), 1, "the new pod is not ready");
    live.change(|cluster| {
        cluster.get("Pod", "shop-1-2")["status"]["conditions"][0]["status"] = json!("True");
    });
    live.written("the second eviction", |_, path| {
        path.ends_with("shop-1-1/eviction")
    })
    .await;
    assert_eq!(live.evictions().len(), 2);
    audit.sample("azwi_audit_evictions_total 2").await;
    assert_eq!(
        live.count(is_event),
        1,
        "one Event for all rounds of an hour"
    );
}

#[tokio::test]
async fn evicts_no_other_pod_when_the_new_one_has_the_same_fault() {
    let (live, server) = Live::start(uninjected(2)).await;
    let audit = Audit::start(server, &["--evict"]).await;
    live.written("the eviction", |_, path| {
        path.ends_with("shop-1-0/eviction")
    })
    .await;
    live.change(|cluster| {
        let mut new = cluster.get("Pod", "shop-1-0").clone();
        cluster.remove("Pod", "shop-1-0");
        new["metadata"]["name"] = json!("shop-1-2");
        new["metadata"]["uid"] = json!("shop-1-2");
        cluster.objects.push(new);
    });
    rounds(&live, &audit, 2).await;
    assert_eq!(live.evictions().len(), 1);
}

fn is_event(method: &Method, path: &str) -> bool {
    method == Method::POST && path == "/apis/events.k8s.io/v1/namespaces/prod/events"
}

/// Waits for two rounds, of which the first has ended with its evictions. `findings` is their number so far.
async fn rounds(live: &Live, audit: &Audit, findings: usize) {
    for more in 1..=2 {
        add_stray(live, &format!("stray-{more}"));
        let findings = findings + more;
        audit
            .sample(&format!(
                "azwi_audit_findings{{code=\"AZWI-W005\",namespace=\"prod\"}} {findings}"
            ))
            .await;
    }
}

/// Adds a bare pod without a token.
fn add_stray(live: &Live, name: &str) {
    live.change(|cluster| {
        let mut stray = ready(name);
        stray["metadata"]["ownerReferences"] = json!([]);
        stray["spec"]["volumes"] = json!([]);
        cluster.objects.push(stray);
    });
}

#[tokio::test]
async fn a_budget_delays_an_eviction_and_nothing_else() {
    let (live, server) = Live::start(uninjected(2)).await;
    live.answer_evictions(StatusCode::TOO_MANY_REQUESTS);
    let audit = Audit::start(server, &["--evict"]).await;
    live.written("an eviction", |_, path| path.ends_with("/eviction"))
        .await;
    rounds(&live, &audit, 2).await;
    assert_eq!(
        live.evictions().len(),
        1,
        "it is tried again after a minute"
    );
    audit.sample("azwi_audit_evictions_total 0").await;
}

#[tokio::test]
async fn evicts_nothing_that_a_new_pod_would_not_fix() {
    type Change = fn(&mut Cluster);
    let cases: [(&str, Change); 10] = [
        ("no client id", |it| {
            it.get("ServiceAccount", "shop")["metadata"]["annotations"] = json!({})
        }),
        ("a client id that is none", |it| {
            it.get("ServiceAccount", "shop")["metadata"]["annotations"] =
                json!({ "azure.workload.identity/client-id": "shop" })
        }),
        ("a namespace that the webhook leaves out", |it| {
            let webhooks = &mut it.get(
                "MutatingWebhookConfiguration",
                crate::fixture::CONFIGURATION,
            )["webhooks"];
            for webhook in webhooks.as_array_mut().unwrap() {
                webhook["namespaceSelector"] = json!({ "matchLabels": { "other": "label" } });
            }
        }),
        ("a namespace that ends", |it| {
            it.get("Namespace", "prod")["metadata"]["deletionTimestamp"] =
                json!("2026-01-01T00:00:00Z")
        }),
        ("no replica of the webhook", |it| {
            it.get("EndpointSlice", "slice")["endpoints"] = json!([])
        }),
        ("no configuration", |it| {
            it.remove(
                "MutatingWebhookConfiguration",
                crate::fixture::CONFIGURATION,
            )
        }),
        ("a bare pod", |it| {
            it.get("Pod", "shop-1-0")["metadata"]["ownerReferences"] = json!([])
        }),
        ("a rollout", |it| {
            it.get("Deployment", "shop")["metadata"]["generation"] = json!(2)
        }),
        ("a workload that was made again", |it| {
            it.get("Deployment", "shop")["metadata"]["uid"] = json!("other")
        }),
        ("the uid of another owner", |it| {
            reference(it.get("Pod", "shop-1-0"), "apps/v1", "other")
        }),
    ];
    let cases = cases.map(|(what, change)| {
        let mut cluster = uninjected(1);
        change(&mut cluster);
        evicts_nothing(what, cluster)
    });
    join_all(cases).await;
}

/// A pod without a token that names its identities itself, with a made-up owner.
fn hostile(namespace: &str, kind: &str, name: &str, uid: &str) -> Value {
    let mut pod = owned(pod("evil", CLIENT_ID), kind, name);
    let version = if kind == "Job" { "batch/v1" } else { "apps/v1" };
    reference(&mut pod, version, uid);
    pod["metadata"]["namespace"] = json!(namespace);
    pod["metadata"]["uid"] = json!(format!("evil in {namespace}"));
    pod["metadata"]["annotations"]["azure.workload.identity/identity-map"] = json!("a=b");
    pod["spec"]["volumes"] = json!([]);
    pod
}

#[tokio::test]
async fn a_pod_with_an_owner_that_cannot_be_read_stops_no_other_eviction() {
    let owners = [
        ("ReplicaSet", "a%"),
        ("ReplicaSet", "a b"),
        ("ReplicaSet", "x/y"),
        ("Deployment", "a%"),
        ("Job", "forbidden"),
    ];
    let mut cluster = uninjected(1);
    cluster.forbidden.insert("jobs");
    for namespace in ["aaa", "prod"] {
        for (nth, (kind, name)) in owners.into_iter().enumerate() {
            let mut pod = hostile(namespace, kind, name, &format!("e{nth}"));
            pod["metadata"]["name"] = json!(format!("evil-{nth}"));
            cluster.objects.push(pod);
        }
    }
    let (live, server) = Live::start(cluster).await;
    let _audit = Audit::start(server, &["--evict"]).await;
    live.written("the eviction", |_, path| {
        path.ends_with("shop-1-0/eviction")
    })
    .await;
}

#[tokio::test]
async fn a_pod_with_the_uid_of_anothers_owner_takes_over_neither_its_finding_nor_its_eviction() {
    let mut cluster = uninjected(1);
    let pod = hostile("aaa", "ReplicaSet", "evil", "r1");
    cluster.objects.push(pod);
    let (live, server) = Live::start(cluster).await;
    let audit = Audit::start(server, &["--evict"]).await;
    for namespace in ["aaa", "prod"] {
        audit
            .sample(&format!(
                "azwi_audit_findings{{code=\"AZWI-W005\",namespace=\"{namespace}\"}} 1"
            ))
            .await;
    }
    live.written("the eviction", |_, path| {
        path.ends_with("shop-1-0/eviction")
    })
    .await;
}

async fn evicts_nothing(what: &str, cluster: Cluster) {
    let (live, server) = Live::start(cluster).await;
    let audit = Audit::start(server, &["--evict"]).await;
    audit
        .sample(r#"azwi_audit_findings{code="AZWI-W005",namespace="prod"} 1"#)
        .await;
    add_stray(&live, "stray");
    // Findings of the next round: the one before it has ended, evictions included.
    audit
        .sample(r#"azwi_audit_findings{code="AZWI-W005",namespace="prod"} 2"#)
        .await;
    assert!(live.evictions().is_empty(), "{what}");
}

#[tokio::test]
async fn documents_the_flags_and_the_metrics() {
    let help = Command::new(env!("CARGO_BIN_EXE_azwi"))
        .args(["audit", "--help"])
        .output()
        .await
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    document::hold("audit flags", &document::help::flags(&help, |_| None)).unwrap();
    let (_live, server) = Live::start(uninjected(1)).await;
    let audit = Audit::start(server, &[]).await;
    audit
        .sample(r#"azwi_audit_findings{code="AZWI-W005",namespace="prod"} 1"#)
        .await;
    let (_, metrics) = audit
        .metrics()
        .await
        .split_once("\r\n\r\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    document::hold("audit metrics", &document::scrape::metrics(&metrics)).unwrap();
}
