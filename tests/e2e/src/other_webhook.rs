//! Another team's mutating webhook, called after ours.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::routing::post;
use axum::serve::Listener;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::certificate::Authority;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::installed::until;
use crate::{Container, Namespace, Pod, kubectl_with_input};

/// The node's address, as the API server reaches it.
const NODE: &str = "192.0.2.10";

/// The operations of a JSON Patch that the webhook makes for a pod.
pub type Change = fn(&Value) -> Vec<Value>;

/// Installs a webhook for this namespace alone. The API server calls it after the chart's, and again
/// (reinvocation) as it does the chart's. Returns when the API server calls it. It serves as long as
/// the test runs.
pub async fn install_other_webhook(namespace: &Namespace, change: Change) {
    let listener = TcpListener::bind((NODE, 0))
        .await
        .expect("the node has a free port");
    let address = listener.local_addr().expect("it is bound");
    let authority = Authority::new("other webhook's CA").expect("the machine has randomness");
    let tls = authority.server("other webhook", &[NODE]);
    let tls = tls.and_then(|it| it.server_config());
    let configuration = configuration(namespace, address, authority.certificate());
    let calls = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/", post(review))
        .with_state((Arc::clone(&calls), change));
    let server = axum::serve(
        Tls {
            listener,
            acceptor: TlsAcceptor::from(tls.expect("the name is an address")),
        },
        router,
    );
    tokio::spawn(server.into_future());
    kubectl_with_input(&["apply", "-f", "-"], &configuration.to_string()).await;

    let pod = Pod::new("is-it-called")
        .without_label()
        .container(Container::shell("app", "true"))
        .manifest();
    until(
        "the other webhook to be called",
        async || {
            namespace.dry_run(&pod).await;
            calls.load(Ordering::Relaxed)
        },
        |calls| *calls > 0,
    )
    .await;
}

fn configuration(namespace: &Namespace, address: SocketAddr, ca: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        // The API server calls webhooks in the order of their names.
        "metadata": { "name": format!("other-{}", namespace.name()) },
        "webhooks": [{
            "name": "other.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": { "url": format!("https://{address}/"), "caBundle": STANDARD.encode(ca) },
            "namespaceSelector": {
                "matchLabels": { "kubernetes.io/metadata.name": namespace.name() },
            },
            "reinvocationPolicy": "IfNeeded",
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["pods"],
            }],
            "sideEffects": "None",
        }],
    })
}

async fn review(
    State((calls, change)): State<(Arc<AtomicUsize>, Change)>,
    Json(review): Json<Value>,
) -> Json<Value> {
    calls.fetch_add(1, Ordering::Relaxed);
    let patch = Value::from(change(&review["request"]["object"]));
    Json(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"],
            "allowed": true,
            "patchType": "JSONPatch",
            "patch": STANDARD.encode(patch.to_string()),
        },
    }))
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
