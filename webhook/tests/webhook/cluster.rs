//! A fake API server in memory: the requests that the webhook makes, with the same rules about
//! resource versions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use testkit::poll;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const SECRETS: &str = "secrets";
pub(crate) const CONFIGURATIONS: &str = "mutatingwebhookconfigurations";
pub(crate) const ACCOUNTS: &str = "serviceaccounts";

/// A running API server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    objects: Mutex<Objects>,
    /// The newest version, for watches.
    version: watch::Sender<u64>,
    /// While it is true, requests for single service accounts wait.
    is_slow: watch::Sender<bool>,
    /// While it is true, lists wait after their first page.
    is_holding: watch::Sender<bool>,
}

#[derive(Default)]
struct Objects {
    by_key: BTreeMap<Key, Value>,
    history: Vec<(u64, Key, Value)>,
    version: u64,
    /// Watches of older versions are answered with 410.
    compacted: u64,
    /// Watches of an earlier generation end.
    generation: u64,
    forbidden: HashSet<(Method, String)>,
    refuses_streams: Option<StatusCode>,
    /// Watches end at once.
    ends_watches: bool,
    requests: Vec<String>,
    /// The minor version, and `gitVersion`, if they are not the usual ones.
    git_version: Option<(&'static str, &'static str)>,
}

type Key = (String, String, String);

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            version: watch::Sender::new(0),
            is_slow: watch::Sender::new(false),
            is_holding: watch::Sender::new(false),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// An API server with the objects of the chart.
    pub(crate) async fn installed() -> Self {
        let cluster = Self::start().await;
        cluster.put(SECRETS, "system", "azure-wi-webhook-server-cert", json!({}));
        cluster.reset_configuration();
        cluster
    }

    /// The configuration without a bundle, as `helm upgrade` may leave it.
    pub(crate) fn reset_configuration(&self) {
        let entries = ["environment", "mutation"].map(|name| {
            json!({
                "name": format!("{name}.azure-workload-identity.io"),
                "admissionReviewVersions": ["v1"],
                "clientConfig": {},
                "sideEffects": "None",
            })
        });
        self.put(
            CONFIGURATIONS,
            "",
            "azure-wi-webhook-mutating-webhook-configuration",
            json!({ "webhooks": entries }),
        );
    }

    /// Makes it an API server of another version: the minor version, and `gitVersion`.
    pub(crate) fn set_version(&self, minor: &'static str, git_version: &'static str) {
        self.shared.lock().git_version = Some((minor, git_version));
    }

    pub(crate) fn client(&self) -> kube::Client {
        let uri = format!("http://{}", self.address).parse().unwrap();
        webhook::api_server::client(kube::Config::new(uri), webhook::api_server::USER_AGENT)
            .unwrap()
    }

    pub(crate) fn put(&self, resource: &str, namespace: &str, name: &str, mut object: Value) {
        object["metadata"]["name"] = name.into();
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = namespace.into();
        }
        self.shared
            .store((resource.into(), namespace.into(), name.into()), object);
    }

    pub(crate) fn account(&self, namespace: &str, name: &str, annotations: Value) {
        self.put(
            ACCOUNTS,
            namespace,
            name,
            json!({ "metadata": { "annotations": annotations } }),
        );
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.shared
            .remove(&(resource.into(), namespace.into(), name.into()));
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Value {
        let key = (resource.into(), namespace.into(), name.into());
        self.shared
            .lock()
            .by_key
            .get(&key)
            .cloned()
            .unwrap_or_default()
    }

    /// The decoded `caBundle` of all entries, empty when there is none, or when they differ.
    pub(crate) fn bundle(&self) -> String {
        let name = "azure-wi-webhook-mutating-webhook-configuration";
        let configuration = self.get(CONFIGURATIONS, "", name);
        let entries = configuration["webhooks"].as_array().into_iter().flatten();
        let mut bundles = entries.map(|entry| decoded(&entry["clientConfig"]["caBundle"]));
        let first = bundles.next().unwrap_or_default();
        let are_equal = bundles.all(|bundle| bundle == first);
        if are_equal { first } else { String::new() }
    }

    /// Waits until `condition` holds, which is checked after each write to the cluster.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let versions = self.shared.version.subscribe();
        poll::changed(what, versions, |_| condition()).await;
    }

    pub(crate) fn forbid(&self, method: Method, resource: &str) {
        self.shared
            .lock()
            .forbidden
            .insert((method, resource.into()));
    }

    /// Refuses lists as streams, as an API server without the feature gate WatchList does (422), or one
    /// with an old etcd (500, inside the stream).
    pub(crate) fn refuse_streams(&self, status: StatusCode) {
        self.shared.lock().refuses_streams = Some(status);
    }

    /// Ends every watch at once, without an error. With `false`, it serves them again.
    pub(crate) fn end_watches(&self, ends: bool) {
        let mut objects = self.shared.lock();
        objects.ends_watches = ends;
        objects.generation += 1;
        let version = objects.version;
        drop(objects);
        self.shared.version.send_replace(version);
    }

    pub(crate) fn slow_accounts(&self, is_slow: bool) {
        self.shared.is_slow.send_replace(is_slow);
    }

    /// Waits until this many requests began with `prefix`.
    pub(crate) async fn until_requests(&self, prefix: &str, count: usize) {
        let what = format!("{count} requests: {prefix}");
        let requests = async || self.requests(prefix);
        poll::until(&what, requests, |seen| *seen >= count).await;
    }

    pub(crate) fn hold_pages(&self, is_holding: bool) {
        self.shared.is_holding.send_replace(is_holding);
    }

    /// Ends all watches; earlier versions can no longer be watched.
    pub(crate) fn compact(&self) {
        let mut objects = self.shared.lock();
        objects.version += 1;
        objects.compacted = objects.version;
        objects.generation += 1;
        let version = objects.version;
        drop(objects);
        self.shared.version.send_replace(version);
    }

    /// How often an object was written.
    pub(crate) fn writes(&self, resource: &str) -> usize {
        let objects = self.shared.lock();
        objects
            .history
            .iter()
            .filter(|(_, key, _)| key.0 == resource)
            .count()
    }

    /// How many requests began with this text, such as `GET /api/v1/namespaces/a/`.
    pub(crate) fn requests(&self, prefix: &str) -> usize {
        self.shared
            .lock()
            .requests
            .iter()
            .filter(|it| it.starts_with(prefix))
            .count()
    }
}

/// Base64 to text.
pub(crate) fn decoded(value: &Value) -> String {
    use base64::Engine;
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default());
    String::from_utf8(bytes.unwrap()).unwrap()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }

    fn store(&self, key: Key, mut object: Value) -> Value {
        let mut objects = self.lock();
        objects.version += 1;
        let version = objects.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let kind = if objects.by_key.contains_key(&key) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        objects.by_key.insert(key.clone(), object.clone());
        objects
            .history
            .push((version, key, json!({ "type": kind, "object": object })));
        drop(objects);
        self.version.send_replace(version);
        object
    }

    fn remove(&self, key: &Key) {
        let mut objects = self.lock();
        objects.version += 1;
        let version = objects.version;
        let Some(mut object) = objects.by_key.remove(key) else {
            return;
        };
        object["metadata"]["resourceVersion"] = version.to_string().into();
        objects.history.push((
            version,
            key.clone(),
            json!({ "type": "DELETED", "object": object }),
        ));
        drop(objects);
        self.version.send_replace(version);
    }
}

/// The object or collection of a request's path.
struct Target {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let rest = match parts.as_slice() {
            ["api", "v1", rest @ ..] => rest,
            ["apis", _, "v1", rest @ ..] => rest,
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        Some(Self {
            resource: (*rest.first()?).to_owned(),
            namespace,
            name: rest.get(1).map(|name| (*name).to_owned()),
        })
    }

    fn covers(&self, key: &Key, selected: Option<&str>) -> bool {
        key.0 == self.resource
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == key.1)
            && selected.is_none_or(|name| *name == key.2)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = parts.uri.path();
    shared
        .lock()
        .requests
        .push(format!("{} {}", parts.method, parts.uri));
    if path == "/version" {
        let usual = ("34+", "v1.34.2-gke.7");
        let (minor, git_version) = shared.lock().git_version.unwrap_or(usual);
        let mut version = json!({ "major": "1", "minor": minor, "gitVersion": git_version });
        for name in [
            "buildDate",
            "compiler",
            "gitCommit",
            "gitTreeState",
            "goVersion",
            "platform",
        ] {
            version[name] = "".into();
        }
        return json_answer(StatusCode::OK, &version);
    }
    let Some(target) = Target::of(path) else {
        return failure(StatusCode::NOT_FOUND);
    };
    if shared
        .lock()
        .forbidden
        .contains(&(parts.method.clone(), target.resource.clone()))
    {
        return failure(StatusCode::FORBIDDEN);
    }
    let query: HashMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace("%3D", "=")))
        .collect();

    match (&parts.method, &target.name) {
        (&Method::GET, Some(name)) => {
            if target.resource == ACCOUNTS {
                let mut is_slow = shared.is_slow.subscribe();
                is_slow.wait_for(|is_slow| !is_slow).await.unwrap();
            }
            let key = (
                target.resource,
                target.namespace.unwrap_or_default(),
                name.clone(),
            );
            match shared.lock().by_key.get(&key) {
                Some(object) => json_answer(StatusCode::OK, object),
                None => failure(StatusCode::NOT_FOUND),
            }
        }
        (&Method::GET, None) if query.contains_key("watch") => {
            watch_objects(shared, target, &query)
        }
        (&Method::GET, None) => {
            if query.get("continue").is_some_and(|from| !from.is_empty()) {
                let mut is_holding = shared.is_holding.subscribe();
                is_holding.wait_for(|holds| !holds).await.unwrap();
            }
            list(&shared, &target, &query)
        }
        (&Method::POST, None) => {
            let object: Value = serde_json::from_slice(&body).unwrap();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let key = (target.resource, target.namespace.unwrap_or_default(), name);
            if shared.lock().by_key.contains_key(&key) {
                return failure(StatusCode::CONFLICT);
            }
            json_answer(StatusCode::CREATED, &shared.store(key, object))
        }
        (&Method::PATCH, Some(name)) => {
            let key = (
                target.resource,
                target.namespace.unwrap_or_default(),
                name.clone(),
            );
            let is_applied = parts.headers["content-type"] == "application/apply-patch+yaml";
            let before = shared.lock().by_key.get(&key).cloned();
            let Some(before) = before else {
                // Only server-side apply creates a missing object.
                return if is_applied {
                    let object = serde_json::from_slice(&body).unwrap();
                    json_answer(StatusCode::CREATED, &shared.store(key, object))
                } else {
                    failure(StatusCode::NOT_FOUND)
                };
            };
            if is_applied {
                return json_answer(StatusCode::OK, &before);
            }
            let mut after = before.clone();
            if parts.headers["content-type"] == "application/merge-patch+json" {
                json_patch::merge(&mut after, &serde_json::from_slice(&body).unwrap());
            } else {
                let patch: json_patch::Patch = serde_json::from_slice(&body).unwrap();
                json_patch::patch(&mut after, &patch).unwrap();
            }
            if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
                return failure(StatusCode::CONFLICT);
            }
            json_answer(StatusCode::OK, &shared.store(key, after))
        }
        _ => failure(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn selected(query: &HashMap<String, String>) -> Option<&str> {
    query.get("fieldSelector")?.strip_prefix("metadata.name=")
}

/// A page of a list.
fn list(shared: &Shared, target: &Target, query: &HashMap<String, String>) -> Response {
    let objects = shared.lock();
    let items: Vec<_> = objects
        .by_key
        .iter()
        .filter(|(key, _)| target.covers(key, selected(query)))
        .collect();
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let from = number("continue").unwrap_or(0);
    let to = (from + number("limit").unwrap_or(usize::MAX - from)).min(items.len());
    let next = if to < items.len() {
        to.to_string()
    } else {
        String::new()
    };
    let page: Vec<_> = items[from..to]
        .iter()
        .map(|(_, object)| (*object).clone())
        .collect();
    json_answer(
        StatusCode::OK,
        &json!({
            "apiVersion": "v1",
            "kind": "List",
            "metadata": { "resourceVersion": objects.version.to_string(), "continue": next },
            "items": page,
        }),
    )
}

fn watch_objects(shared: Arc<Shared>, target: Target, query: &HashMap<String, String>) -> Response {
    let wants_list = query.contains_key("sendInitialEvents");
    let objects = shared.lock();
    if objects.ends_watches {
        return StatusCode::OK.into_response();
    }
    if let Some(status) = objects.refuses_streams.filter(|_| wants_list) {
        if status.is_client_error() {
            return failure(status);
        }
        let refusal = json!({ "type": "ERROR", "object": {
            "kind": "Status",
            "status": "Failure",
            "reason": "InternalError",
            "message": "the required storage feature RequestWatchProgress is disabled",
            "code": status.as_u16(),
        } });
        return (StatusCode::OK, format!("{refusal}\n")).into_response();
    }
    let generation = objects.generation;
    let mut first = String::new();
    let from: u64 = if wants_list {
        for (key, object) in &objects.by_key {
            if target.covers(key, selected(query)) {
                first.push_str(&format!(
                    "{}\n",
                    json!({ "type": "ADDED", "object": object })
                ));
            }
        }
        let end = json!({ "type": "BOOKMARK", "object": {
            "apiVersion": "v1",
            "kind": "Bookmark",
            "metadata": {
                "resourceVersion": objects.version.to_string(),
                "annotations": { "k8s.io/initial-events-end": "true" },
            },
        } });
        first.push_str(&format!("{end}\n"));
        objects.version
    } else {
        query
            .get("resourceVersion")
            .and_then(|it| it.parse().ok())
            .unwrap_or(0)
    };
    if from < objects.compacted {
        let gone = json!({ "type": "ERROR", "object": {
            "kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old", "code": 410,
        } });
        return (StatusCode::OK, format!("{gone}\n")).into_response();
    }
    drop(objects);
    let selected = selected(query).map(ToOwned::to_owned);
    let versions = shared.version.subscribe();
    let events = stream::unfold((from, versions), move |(mut seen, mut versions)| {
        let shared = Arc::clone(&shared);
        let selected = selected.clone();
        let target = Target {
            resource: target.resource.clone(),
            namespace: target.namespace.clone(),
            name: None,
        };
        async move {
            loop {
                versions.borrow_and_update();
                let mut text = String::new();
                {
                    let objects = shared.lock();
                    if objects.generation != generation {
                        return None;
                    }
                    // In the order of versions.
                    let old = objects
                        .history
                        .partition_point(|(version, ..)| *version <= seen);
                    for (_, key, event) in &objects.history[old..] {
                        if target.covers(key, selected.as_deref()) {
                            text.push_str(&format!("{event}\n"));
                        }
                    }
                    seen = objects.version;
                }
                if !text.is_empty() {
                    return Some((Ok::<_, Infallible>(Bytes::from(text)), (seen, versions)));
                }
                versions.changed().await.ok()?;
            }
        }
    });
    let first = stream::iter([Ok(Bytes::from(first))]);
    Body::from_stream(first.chain(events)).into_response()
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (
        status,
        [("content-type", "application/json")],
        value.to_string(),
    )
        .into_response()
}

fn failure(status: StatusCode) -> Response {
    let body = json!({
        "kind": "Status",
        "status": "Failure",
        "reason": status.canonical_reason().map(|text| text.replace(' ', "")),
        "message": format!("the server says {status}"),
        "code": status.as_u16(),
    });
    json_answer(status, &body)
}
