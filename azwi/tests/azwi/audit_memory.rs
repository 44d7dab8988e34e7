//! The memory of the audit while users make pods to fill it. The chart limits it to 128 MiB, of which an idle one takes
//! some 12.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use testkit::poll::{changed, until_within};
use testkit::process::peak_resident_kib;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};

use crate::audit::Audit;

/// MiB that the audit may take besides those of an idle one.
const MOST: u64 = 112;

/// For tens of thousands of pods, while all other tests run.
const DEADLINE: Duration = Duration::from_secs(300);

/// One of the tests at a time: each keeps two cores busy.
static TURN: Mutex<()> = Mutex::const_new(());

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/prod/events";

/// Bytes of a large pod as the API server stores it: etcd accepts 1.5 MiB of it in protobuf, in which the names of
/// fields take a byte each.
const STORED: usize = 1_500_000;

/// A server with pods that are made while they are sent.
#[derive(Clone, Debug)]
struct Server {
    /// The minor version: from 32 on, pods come as a stream of events.
    minor: u32,
    /// The JSON of large pods.
    large: Arc<Vec<String>>,
    /// How many small pods there are, and what each is.
    small: (usize, fn(usize) -> String),
    /// The JSON of a Deployment.
    workload: Arc<str>,
    /// The JSON of the Event that has the name of every one that is created.
    event: Arc<str>,
    /// Whether a StatefulSet was read, which comes after the Deployment, or an Event changed.
    is_read: watch::Sender<bool>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            minor: 34,
            large: Arc::default(),
            small: (0, small),
            workload: "".into(),
            event: "".into(),
            is_read: watch::Sender::new(false),
        }
    }
}

impl Server {
    async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn count(&self) -> usize {
        self.large.len() + self.small.0
    }

    fn pod(&self, nth: usize) -> String {
        match self.large.get(nth) {
            Some(pod) => pod.clone(),
            None => self.small.1(nth),
        }
    }
}

async fn answer(State(server): State<Arc<Server>>, method: Method, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(key, _)| key == name);
        found.and_then(|(_, it)| it.parse::<usize>().ok())
    };
    let is_watch = query.contains("watch=true");
    let is_initial = query.contains("sendInitialEvents=true");
    match uri.path() {
        "/version" => text(json!({
            "major": "1", "minor": server.minor.to_string(), "gitVersion": format!("v1.{}.0", server.minor),
            "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
        })),
        "/api/v1/pods" if is_watch => {
            let count = if is_initial { server.count() } else { 0 };
            let pods = stream::iter(0..count).map(move |nth| {
                let pod = server.pod(nth);
                format!("{{\"type\":\"ADDED\",\"object\":{pod}}}\n")
            });
            events("Pod", is_initial, pods)
        }
        "/api/v1/pods" => {
            let from = parameter("continue").unwrap_or(0);
            let to = server.count().min(from + parameter("limit").unwrap());
            let pods: Vec<String> = (from..to).map(|nth| server.pod(nth)).collect();
            let next = if to < server.count() {
                to.to_string()
            } else {
                String::new()
            };
            let metadata = json!({ "resourceVersion": "1", "continue": next });
            let list = format!(
                "{{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{metadata},\"items\":[{}]}}",
                pods.join(",")
            );
            json_text(list)
        }
        "/api/v1/serviceaccounts" if is_watch => {
            events("ServiceAccount", is_initial, stream::empty())
        }
        "/api/v1/serviceaccounts" => text(json!({
            "kind": "ServiceAccountList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [],
        })),
        "/apis/apps/v1/namespaces/prod/deployments/big" => json_text(server.workload.to_string()),
        path if path.starts_with(EVENTS) && !server.event.is_empty() => match method {
            Method::POST => {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "it exists",
                    "reason": "AlreadyExists", "code": 409,
                });
                (StatusCode::CONFLICT, text(status)).into_response()
            }
            method => {
                if method == Method::PATCH {
                    server.is_read.send_replace(true);
                }
                json_text(server.event.to_string())
            }
        },
        path => {
            if path.contains("/statefulsets/") {
                server.is_read.send_replace(true);
            }
            (StatusCode::NOT_FOUND, "").into_response()
        }
    }
}

/// A watch that sends these events, and then none.
fn events(
    kind: &str,
    is_initial: bool,
    lines: impl stream::Stream<Item = String> + Send + 'static,
) -> Response {
    let end = json!({ "type": "BOOKMARK", "object": { "kind": kind, "apiVersion": "v1", "metadata": {
        "resourceVersion": "1", "annotations": { "k8s.io/initial-events-end": "true" },
    } } });
    let end = is_initial.then(|| format!("{end}\n"));
    let lines = lines.chain(stream::iter(end)).chain(stream::pending());
    Body::from_stream(lines.map(Ok::<_, Infallible>)).into_response()
}

fn text(body: Value) -> Response {
    json_text(body.to_string())
}

fn json_text(body: String) -> Response {
    ([("content-type", "application/json")], body).into_response()
}

/// A pod with names as long as they may be, and faults with causes as long as they may be.
fn small(nth: usize) -> String {
    let long = |length: usize| "x".repeat(length);
    let mut pod = pod(&format!("{nth}-{}", long(200)));
    pod["metadata"]["ownerReferences"][0] = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": format!("{nth}{}", long(240)), "uid": long(63),
        "controller": true,
    });
    pod["metadata"]["annotations"] = json!({
        "azure.workload.identity/inject-proxy-sidecar": "true",
        "azure.workload.identity/identity-map": "a=b",
    });
    pod["spec"]["serviceAccountName"] = json!(long(253));
    pod["spec"]["initContainers"] = json!([
        { "name": long(63) }, { "name": long(63) }, { "name": long(63) },
        { "name": "azwi-proxy-init", "image": "\u{1f600}".repeat(400) },
    ]);
    pod["spec"]["volumes"] = token();
    pod.to_string()
}

fn token() -> Value {
    json!([{ "name": "t", "projected": { "sources": [
        { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": "token" } },
    ] } }])
}

fn pod(name: &str) -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "prod",
            "uid": name,
            "resourceVersion": "1",
            "labels": { "azure.workload.identity/use": "true" },
            "annotations": { "azure.workload.identity/identity-map": "a=b" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "Deployment", "name": "big", "uid": "big", "controller": true },
            ],
        },
        "spec": { "serviceAccountName": "shop", "containers": [{ "name": "app" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

/// A list with as many items as etcd accepts, if it stores each in so many bytes.
fn list(item: &str, stored: usize) -> String {
    let rest = format!(",{item}").repeat(STORED / stored - 1);
    format!("[{item}{rest}]")
}

/// Large pods, by the field that is large.
fn large_pods() -> Vec<String> {
    let control = format!("\"{}\"", "\\u0001".repeat(STORED));
    let token = r#"{"serviceAccountToken":{"audience":"a","path":"p"}}"#;
    let owner = r#"{"apiVersion":"v1","kind":"A","name":"a","uid":"u"}"#;
    let fields = [
        ("/spec/containers/0/env", list(r#"{"name":"a"}"#, 5)),
        (
            "/spec/containers/0/env",
            list(r#"{"name":"AZURE_CLIENT_ID","value":"a"}"#, 22),
        ),
        (
            "/spec/containers/0/env",
            format!("[{{\"name\":\"A\",\"value\":{control}}}]"),
        ),
        ("/spec/containers/0/image", control),
        ("/spec/containers", list(r#"{"name":"a"}"#, 50)),
        ("/spec/initContainers", list(r#"{"name":"a"}"#, 50)),
        ("/spec/volumes", list(r#"{"name":"a","emptyDir":{}}"#, 9)),
        (
            "/spec/volumes",
            format!(
                "[{{\"name\":\"a\",\"projected\":{{\"sources\":{}}}}}]",
                list(token, 12)
            ),
        ),
        ("/metadata/ownerReferences", list(owner, 17)),
        (
            "/status/conditions",
            list(r#"{"type":"a","status":"True"}"#, 11),
        ),
        (
            "/metadata/managedFields",
            format!(
                "[{{\"manager\":\"a\",\"fieldsV1\":{{{}\"f:a\":{{}}}}}}]",
                (0..STORED / 15)
                    .map(|nth| format!("\"f:{nth:06}\":{{}},"))
                    .collect::<String>()
            ),
        ),
    ];
    let each = fields.iter().enumerate().map(|(nth, (place, value))| {
        let mut pod = pod(&format!("large-{nth}"));
        pod["spec"]["initContainers"] = json!([]);
        let (above, field) = place.rsplit_once('/').unwrap();
        pod.pointer_mut(above).unwrap()[field] = json!("here");
        pod.to_string().replace("\"here\"", value)
    });
    each.collect()
}

/// A Deployment with a template that is as large as it may be.
fn large_workload() -> String {
    json!({
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": { "name": "big", "namespace": "prod", "uid": "big", "generation": 1, "resourceVersion": "1" },
        "spec": {
            "replicas": 1,
            "selector": {},
            "template": { "spec": { "containers": [{ "name": "app", "env": "here" }] } },
        },
        "status": { "observedGeneration": 1, "replicas": 0 },
    })
    .to_string()
    .replace("\"here\"", &list(r#"{"name":"a"}"#, 5))
}

/// MiB that an audit takes at most, with its first round.
async fn peak(server: Server) -> u64 {
    let is_read = server.is_read.subscribe();
    let address = server.start().await;
    let audit = Audit::start(address, &["--evict"]).await;
    until_within(
        DEADLINE,
        "the first round",
        async || *is_read.borrow(),
        |it| *it,
    )
    .await;
    peak_resident_kib(audit.id()).unwrap() / 1024
}

/// MiB that an audit without pods takes.
async fn idle() -> u64 {
    peak_and_pods(Server::default()).await.0
}

/// MiB that an audit takes at most until it has listed the pods, and how many it has.
async fn peak_and_pods(server: Server) -> (u64, usize) {
    let address = server.start().await;
    let audit = Audit::start(address, &["--evict"]).await;
    let is_listed = |it: &String| it.contains("\nazwi_audit_watch_failing 0\n");
    let metrics = async || audit.metrics().await;
    let metrics = until_within(DEADLINE, "the list", metrics, is_listed).await;
    let mut lines = metrics.lines();
    let pods = lines.find_map(|it| it.strip_prefix("azwi_audit_pods "));
    let peak = peak_resident_kib(audit.id()).unwrap() / 1024;
    (peak, pods.unwrap().parse().unwrap())
}

/// Large pods and a large workload; besides, with a stream, more small ones than fit into memory.
#[tokio::test]
async fn hostile_pods_leave_the_audit_below_its_memory_limit() {
    let _turn = TURN.lock().await;
    let large = large_pods();
    let workload = large_workload();
    let idle = idle().await;
    for (minor, count) in [(30, 10), (34, 20_000)] {
        let server = Server {
            minor,
            large: large.clone().into(),
            small: (count, small),
            workload: workload.as_str().into(),
            ..Server::default()
        };
        let grown = peak(server).await - idle;
        println!("{grown} MiB more than {idle} with API server 1.{minor}");
        assert!(grown < MOST, "{grown} MiB more with API server 1.{minor}");
    }
}

/// As many pods as docs/audit.md says that it keeps, each as the webhook leaves it.
#[tokio::test]
async fn fifty_thousand_ordinary_pods_take_what_is_documented() {
    let _turn = TURN.lock().await;
    let server = Server {
        small: (50_000, ordinary),
        ..Server::default()
    };
    let idle = idle().await;
    let (grown, kept) = peak_and_pods(server).await;
    let grown = grown - idle;
    println!("{grown} MiB more than {idle} with {kept} pods");
    assert_eq!(kept, 50_000);
    assert!(grown < 50, "{grown}");
}

/// Who may create Events in a namespace can make one with the name of the audit's, as large as it may be.
#[tokio::test]
async fn a_large_event_with_the_name_of_the_audits_takes_little_memory() {
    let _turn = TURN.lock().await;
    let server = Server {
        small: (1, small),
        event: large_event().into(),
        ..Server::default()
    };
    let is_read = server.is_read.subscribe();
    let idle = idle().await;
    let address = server.start().await;
    let audit = Audit::start(address, &[]).await;
    changed("the series of the Event", is_read, |it| *it).await;
    let grown = peak_resident_kib(audit.id()).unwrap() / 1024 - idle;
    println!("{grown} MiB more than {idle} with a large Event");
    assert!(grown < 12, "{grown}");
}

/// An Event of yesterday with as many labels as etcd accepts.
fn large_event() -> String {
    let labels: String = (0..STORED / 12)
        .map(|nth| format!("\"l{nth:06}\":\"\","))
        .collect();
    let time = "2026-01-01T00:00:00.000000Z";
    format!(
        r#"{{"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{{"name":"e","namespace":"prod","labels":{{{labels}"l":""}}}},"eventTime":"{time}"}}"#
    )
}

/// A pod as the webhook leaves it.
fn ordinary(nth: usize) -> String {
    ORDINARY.replace("NUMBER", &format!("{nth:06}"))
}

static ORDINARY: LazyLock<String> = LazyLock::new(|| {
    let mut pod = pod("checkout-frontend-5d4f8c7b9d-NUMBER");
    let uid = |kind: &str| format!("a8d0c9e2-{kind}-4a0f-9d3c-0f8f2aNUMBER");
    pod["metadata"]["uid"] = json!(uid("6a5e"));
    pod["metadata"]["ownerReferences"][0] = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-frontend-5d4f8c7b9d", "uid": uid("7b6f"),
        "controller": true,
    });
    let client_id = uid("8c7a");
    pod["metadata"]["annotations"] = json!({
        "azure.workload.identity/injected": format!("{{\"clientId\":\"{client_id}\",\"tenantId\":\"t\"}}"),
    });
    pod["spec"]["serviceAccountName"] = json!("checkout-frontend");
    pod["spec"]["containers"][0]["env"] =
        json!([{ "name": "AZURE_CLIENT_ID", "value": client_id }]);
    pod["spec"]["volumes"] = token();
    pod.to_string()
});
