//! The fake API server while its objects change: watches, and what is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api_server::{self, Cluster};

/// A server whose objects change.
#[derive(Debug)]
pub(crate) struct Live {
    cluster: Mutex<Cluster>,
    version: watch::Sender<u64>,
    /// The version of the last list of each path. A watch begins with it.
    listed: Mutex<BTreeMap<String, u64>>,
    /// Paths and bodies of everything that was created or changed.
    written: Mutex<Vec<(Method, String, Value)>>,
    written_count: watch::Sender<usize>,
    /// The status of evictions.
    eviction: Mutex<StatusCode>,
}

impl Live {
    pub(crate) async fn start(cluster: Cluster) -> (Arc<Self>, SocketAddr) {
        let live = Arc::new(Self {
            cluster: Mutex::new(cluster),
            version: watch::Sender::new(1),
            listed: Mutex::default(),
            written: Mutex::default(),
            written_count: watch::Sender::new(0),
            eviction: Mutex::new(StatusCode::CREATED),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&live));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (live, address)
    }

    /// Changes objects. Every watch ends, so that its client lists again.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Cluster)) {
        change(&mut self.cluster.lock().unwrap());
        self.version.send_modify(|it| *it += 1);
    }

    /// Evictions are answered so from now on.
    pub(crate) fn answer_evictions(&self, status: StatusCode) {
        *self.eviction.lock().unwrap() = status;
    }

    /// Waits for something written that is `wanted`, and returns its body.
    pub(crate) async fn written(
        &self,
        what: &str,
        wanted: impl Fn(&Method, &str) -> bool,
    ) -> Value {
        let mut count = self.written_count.subscribe();
        let find = || {
            let written = self.written.lock().unwrap();
            let mut found = written
                .iter()
                .filter(|(method, path, _)| wanted(method, path));
            found.next().map(|(_, _, body)| body.clone())
        };
        let waiting = async {
            loop {
                if let Some(found) = find() {
                    return found;
                }
                count.changed().await.unwrap();
            }
        };
        testkit::poll::event(what, waiting).await
    }

    /// How much was written so far that is `wanted`.
    pub(crate) fn count(&self, wanted: impl Fn(&Method, &str) -> bool) -> usize {
        let written = self.written.lock().unwrap();
        let mut count = 0;
        for (method, path, _) in written.iter() {
            count += usize::from(wanted(method, path));
        }
        count
    }

    /// The paths of evictions so far.
    pub(crate) fn evictions(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        let paths = written.iter().map(|(_, path, _)| path.clone());
        paths.filter(|it| it.ends_with("/eviction")).collect()
    }
}

async fn answer(State(live): State<Arc<Live>>, method: Method, uri: Uri, body: String) -> Response {
    let path = uri.path().to_owned();
    if path == "/version" {
        let version = json!({
            "major": "1", "minor": "30", "gitVersion": "v1.30.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
            "goVersion": "", "compiler": "", "platform": "",
        });
        return json_answer(StatusCode::OK, &version);
    }
    let is_watch = uri.query().is_some_and(|it| it.contains("watch=true"));
    if method == Method::GET && is_watch {
        return until_changed(&live, &path);
    }
    if method == Method::GET {
        let is_next_page = uri.query().is_some_and(|it| it.contains("continue="));
        if !is_next_page {
            let version = *live.version.borrow();
            live.listed.lock().unwrap().insert(path, version);
        }
        let cluster = live.cluster.lock().unwrap().clone();
        let cluster = Arc::new(Mutex::new(cluster));
        return api_server::answer(State(cluster), method, uri, body).await;
    }
    let status = if path.ends_with("/eviction") {
        *live.eviction.lock().unwrap()
    } else {
        StatusCode::CREATED
    };
    let body: Value = serde_json::from_str(&body).unwrap();
    live.written
        .lock()
        .unwrap()
        .push((method, path, body.clone()));
    live.written_count.send_modify(|it| *it += 1);
    if status.is_success() {
        return json_answer(status, &body);
    }
    let refusal = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "refused",
        "reason": "TooManyRequests", "code": status.as_u16(),
    });
    json_answer(status, &refusal)
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let content_type = [("content-type", "application/json")];
    (status, content_type, body.to_string()).into_response()
}

/// A watch without an event until something changes: then the version that it began with has expired.
fn until_changed(live: &Live, path: &str) -> Response {
    let mut version = live.version.subscribe();
    let listed = live.listed.lock().unwrap().get(path).copied();
    let expired = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "too old",
        "reason": "Expired", "code": 410,
    } });
    let events = stream::once(async move {
        let _ = version.wait_for(|it| Some(*it) != listed).await;
        Ok::<_, std::convert::Infallible>(format!("{expired}\n"))
    });
    Body::from_stream(events).into_response()
}
