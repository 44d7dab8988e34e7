//! A fake API server: objects in memory, lists in pages, rights that are missing, tokens.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use azwi::migrate::patch::merged;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the API server has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) objects: Vec<Value>,
    /// Resources that may not be read, by their names in paths.
    pub(crate) forbidden: BTreeSet<&'static str>,
    pub(crate) issuer: Issuer,
    /// The log of every container.
    pub(crate) log: &'static str,
    /// How many objects were patched.
    pub(crate) patches: usize,
    /// Whether the second page of a list of pods has expired.
    pub(crate) expires: bool,
    pub(crate) dry_run: DryRun,
    /// The pods that were created as a dry run.
    pub(crate) created: Vec<Value>,
    /// The minor version, `None` for that of the tests on a node.
    pub(crate) minor: Option<u32>,
}

/// The outcome for a pod that is created as a dry run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum DryRun {
    /// The webhook adds its token.
    #[default]
    Injected,
    /// The webhook is not called.
    NotInjected,
    /// The API server's message.
    Refused(&'static str),
}

/// The issuer of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    pub(crate) algorithm: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) documented: &'static str,
    pub(crate) key: &'static str,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            algorithm: "RS256",
            issuer: "https://issuer.example.com/cluster/",
            documented: "https://issuer.example.com/cluster/",
            key: "key-1",
        }
    }
}

/// Groups that are served when there are objects of them.
const OPTIONAL: [&str; 3] = [
    "cilium.io/",
    "crd.projectcalico.org/",
    "policy.networking.k8s.io/",
];

/// The part of every token that must never be in an output.
pub(crate) const SIGNATURE: &str = "c2lnbmF0dXJlLW9mLWEtdG9rZW4";

impl Cluster {
    pub(crate) async fn start(self) -> SocketAddr {
        self.start_shared().await.0
    }

    /// Starts, and returns the cluster as requests change it.
    pub(crate) async fn start_shared(self) -> (SocketAddr, Arc<Mutex<Self>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(self));
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, shared)
    }

    /// The object of this kind and name, to change it.
    pub(crate) fn get(&mut self, kind: &str, name: &str) -> &mut Value {
        let mut objects = self.objects.iter_mut();
        objects
            .find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("{kind} {name}"))
    }

    pub(crate) fn remove(&mut self, kind: &str, name: &str) {
        self.objects
            .retain(|it| it["kind"] != kind || it["metadata"]["name"] != name);
    }
}

/// A published key.
pub(crate) fn key(id: &str) -> Value {
    json!({ "use": "sig", "kty": "RSA", "kid": id, "alg": "RS256", "n": "AQAB", "e": "AQAB" })
}

pub(crate) async fn answer(
    State(cluster): State<Arc<Mutex<Cluster>>>,
    method: Method,
    uri: Uri,
    body: String,
) -> Response {
    let mut cluster = cluster.lock().unwrap();
    let cluster = &mut *cluster;
    let path = uri.path().trim_matches('/').to_owned();
    match path.as_str() {
        ".well-known/openid-configuration" => {
            return text(&json!({
                "issuer": cluster.issuer.documented,
                "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks",
            }));
        }
        "version" => {
            let minor = cluster.minor.unwrap_or(34);
            return text(&json!({
                "major": "1",
                "minor": format!("{minor}+"),
                "gitVersion": format!("v1.{minor}.1"),
            }));
        }
        "apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
            let review: Value = serde_json::from_str(&body).unwrap();
            let resource = review["spec"]["resourceAttributes"]["resource"]
                .as_str()
                .unwrap();
            let right = format!("create {resource}");
            let allowed = !cluster.forbidden.contains(right.as_str());
            return text(&json!({ "status": { "allowed": allowed } }));
        }
        "openid/v1/jwks" => return text(&json!({ "keys": [key("key-1")] })),
        _ => {}
    }
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["apis"] => return groups(cluster),
        ["apis", group, version] => return resources(cluster, &format!("{group}/{version}")),
        _ => {}
    }
    let version = match parts.as_slice() {
        ["apis", group, version, ..] => format!("{group}/{version}"),
        _ => "v1".to_owned(),
    };
    let is_absent = OPTIONAL.iter().any(|it| version.starts_with(it));
    if is_absent && cluster.objects.iter().all(|it| it["apiVersion"] != version) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    // Without the group and version: api/v1 or apis/GROUP/VERSION.
    let parts = match parts.first() {
        Some(&"api") => &parts[2..],
        _ => &parts[3..],
    };
    let (namespace, parts) = match parts {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        parts => (None, parts),
    };
    // The right to create pods is another than that to list them.
    let is_creation = method == Method::POST && parts == ["pods"];
    let is_forbidden = |it: &&str| cluster.forbidden.contains(*it);
    if !is_creation && [parts[0], parts[parts.len() - 1]].iter().any(is_forbidden) {
        return status(StatusCode::FORBIDDEN, "Forbidden", None);
    }
    match (method, parts) {
        (Method::POST, ["pods"]) => create(cluster, uri.query(), &body),
        (Method::POST, ["serviceaccounts", name, "token"]) => {
            token(&cluster.issuer, namespace, name)
        }
        (Method::GET, [plural]) => list(cluster, &version, plural, namespace, &uri),
        (Method::GET, [plural, name]) => {
            let mut objects = objects(cluster, plural, namespace);
            match objects.find(|it| it["metadata"]["name"] == *name) {
                Some(object) => text(object),
                None => status(StatusCode::NOT_FOUND, "NotFound", None),
            }
        }
        (Method::GET, ["pods", _, "log"]) => cluster.log.into_response(),
        (Method::PATCH, [plural, name]) => change(cluster, plural, namespace, name, |it| {
            let patch = serde_json::from_str(&body).unwrap();
            *it = merged(it, &patch);
        }),
        (Method::POST, [plural]) => {
            let object: Value = serde_json::from_str(&body).unwrap();
            let mut objects = objects(cluster, plural, namespace);
            if objects.any(|it| it["metadata"]["name"] == object["metadata"]["name"]) {
                return status(StatusCode::CONFLICT, "AlreadyExists", None);
            }
            drop(objects);
            cluster.objects.push(object);
            text(&json!({}))
        }
        (Method::DELETE, [plural, name]) => {
            let is_deleted =
                |it: &Value| is_at(it, plural, namespace) && it["metadata"]["name"] == *name;
            cluster.objects.retain(|it| !is_deleted(it));
            text(&json!({}))
        }
        _ => status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", None),
    }
}

/// The groups of custom kinds: those of objects that name their version.
fn groups(cluster: &Cluster) -> Response {
    let versions = cluster
        .objects
        .iter()
        .filter_map(|it| it["apiVersion"].as_str());
    let versions: BTreeSet<&str> = versions.filter(|it| it.contains('/')).collect();
    let groups = versions.into_iter().map(|it| {
        let name = it.split('/').next();
        json!({ "name": name, "preferredVersion": { "groupVersion": it } })
    });
    text(&json!({ "groups": groups.collect::<Vec<_>>() }))
}

/// The kinds of a version. Those with a pod template have a scale subresource.
fn resources(cluster: &Cluster, version: &str) -> Response {
    let objects = cluster
        .objects
        .iter()
        .filter(|it| it["apiVersion"] == version);
    let kinds: BTreeSet<&str> = objects.filter_map(|it| it["kind"].as_str()).collect();
    let resources = kinds.into_iter().flat_map(|kind| {
        let plural = plural(kind);
        let scale =
            json!({ "name": format!("{plural}/scale"), "kind": "Scale", "namespaced": true });
        let own = json!({ "name": plural, "kind": kind, "namespaced": true });
        [Some(own), (kind == "Rollout").then_some(scale)]
    });
    text(&json!({ "resources": resources.flatten().collect::<Vec<_>>() }))
}

/// The name of a kind in paths.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

fn objects<'a>(
    cluster: &'a Cluster,
    wanted: &'a str,
    namespace: Option<&'a str>,
) -> impl Iterator<Item = &'a Value> {
    let objects = cluster.objects.iter();
    objects.filter(move |it| is_at(it, wanted, namespace))
}

fn is_at(object: &Value, wanted: &str, namespace: Option<&str>) -> bool {
    plural(object["kind"].as_str().unwrap()) == wanted
        && namespace.is_none_or(|wanted| object["metadata"]["namespace"] == wanted)
}

/// Changes an object, and counts that.
fn change(
    cluster: &mut Cluster,
    plural: &str,
    namespace: Option<&str>,
    name: &str,
    each: impl FnOnce(&mut Value),
) -> Response {
    let mut objects = cluster.objects.iter_mut();
    let found = objects.find(|it| is_at(it, plural, namespace) && it["metadata"]["name"] == name);
    let Some(object) = found else {
        return status(StatusCode::NOT_FOUND, "NotFound", None);
    };
    each(object);
    cluster.patches += 1;
    text(object)
}

fn list(
    cluster: &Cluster,
    version: &str,
    plural: &str,
    namespace: Option<&str>,
    uri: &Uri,
) -> Response {
    let query = uri.query().unwrap_or_default().as_bytes();
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query);
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, it)| it.into_owned())
    };
    let limit: usize = parameter("limit").unwrap().parse().unwrap();
    let token = parameter("continue").unwrap_or_default();
    if cluster.expires && plural == "pods" && token.starts_with('+') {
        let newer = json!({ "continue": token.replace('+', "new=") });
        return status(StatusCode::GONE, "Expired", Some(newer));
    }
    let start: usize = token
        .trim_start_matches(['+', 'n', 'e', 'w', '='])
        .parse()
        .unwrap_or(0);
    // Two groups may have a kind of the same name.
    let is_served = |it: &&Value| it["apiVersion"].is_null() || it["apiVersion"] == version;
    let all = objects(cluster, plural, namespace).filter(is_served);
    let all: Vec<&Value> = all.collect();
    let items = &all[start..all.len().min(start + limit)];
    let next = start + items.len();
    // A plus and an equals sign have to be escaped in a query.
    let next = if next < all.len() {
        format!("+{next}")
    } else {
        String::new()
    };
    let metadata = json!({ "continue": next, "resourceVersion": "1" });
    text(&json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
}

/// Creates a pod, which has to be a dry run.
fn create(cluster: &mut Cluster, query: Option<&str>, body: &str) -> Response {
    assert_eq!(query, Some("dryRun=All"));
    if cluster.forbidden.contains("create pods") {
        return refusal("User \"u\" cannot create resource \"pods\" in API group \"\"");
    }
    let mut pod: Value = serde_json::from_str(body).unwrap();
    cluster.created.push(pod.clone());
    match cluster.dry_run {
        DryRun::Injected => pod["spec"]["volumes"] = crate::fixture::token_volume(),
        DryRun::NotInjected => {}
        DryRun::Refused(message) => return refusal(message),
    }
    text(&pod)
}

fn refusal(message: &str) -> Response {
    let mut body = status_body(StatusCode::FORBIDDEN, "Forbidden", None);
    body["message"] = json!(message);
    answered(StatusCode::FORBIDDEN, &body)
}

fn token(issuer: &Issuer, namespace: Option<&str>, name: &str) -> Response {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({ "alg": issuer.algorithm, "kid": issuer.key }));
    let claims = encode(json!({
        "iss": issuer.issuer,
        "sub": format!("system:serviceaccount:{}:{name}", namespace.unwrap()),
        "aud": ["api://AzureADTokenExchange"],
    }));
    text(&json!({ "status": { "token": format!("{header}.{claims}.{SIGNATURE}") } }))
}

fn text(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn status(code: StatusCode, reason: &str, metadata: Option<Value>) -> Response {
    answered(code, &status_body(code, reason, metadata))
}

fn status_body(code: StatusCode, reason: &str, metadata: Option<Value>) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": metadata.unwrap_or_else(|| json!({})),
        "status": "Failure",
        "message": format!("the API server says {reason}"),
        "reason": reason,
        "code": code.as_u16(),
    })
}

fn answered(code: StatusCode, body: &Value) -> Response {
    let headers = [("content-type", "application/json")];
    (code, headers, body.to_string()).into_response()
}
