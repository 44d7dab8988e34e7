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
use rcgen::{CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::installed::until;
use crate::{Container, Namespace, Pod, kubectl_with_input};

/// The node's address, as the API server reaches it.
const NODE: &str = "192.0.2.10";

/// What it does to a pod: operations of a JSON Patch.
pub type Change = fn(&Value) -> Vec<Value>;

/// Installs a webhook that acts on this namespace alone, is called after the chart's, and is called
/// again like it. Returns when the API server calls it. It serves as long as the test runs.
pub async fn install_other_webhook(namespace: &Namespace, change: Change) {
    let listener = TcpListener::bind((NODE, 0))
        .await
        .expect("the node has a free port");
    let address = listener.local_addr().expect("it is bound");
    let certified =
        rcgen::generate_simple_self_signed([NODE.to_owned()]).expect("the machine has randomness");
    let configuration = configuration(namespace, address, &certified.cert.pem());
    let calls = Arc::new(AtomicUsize::new(0));
    let router = Router::new()
        .route("/", post(review))
        .with_state((Arc::clone(&calls), change));
    let server = axum::serve(
        Tls {
            listener,
            acceptor: acceptor(certified),
        },
        router,
    );
    tokio::spawn(server.into_future());
    kubectl_with_input(&["apply", "-f", "-"], &configuration.to_string()).await;

    let pod = Pod::new("is-it-called")
        .without_label()
        .container(Container::shell("app", "true"))
        .manifest()
        .to_string();
    let create = [
        "create",
        "--dry-run=server",
        "-n",
        namespace.name(),
        "-f",
        "-",
    ];
    until(
        "the other webhook to be called",
        async || {
            kubectl_with_input(&create, &pod).await;
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
        // The API server goes by their names.
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

fn acceptor(certified: CertifiedKey<KeyPair>) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            PrivateKeyDer::Pkcs8(key),
        )
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}
