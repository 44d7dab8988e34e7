//! The certificates of the installed webhook, as the API server and the operator see them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use testkit::certificate::Authority;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::installed::{CONFIGURATION, SECRET, SYSTEM_NAMESPACE, system};
use crate::kubectl;

/// An authority that was made ten months ago and has two months left: the webhook replaces it.
pub fn near_its_end() -> Authority {
    Authority::valid_in("near its end", -300..60).expect("the machine has randomness")
}

/// The Secret's `ca.crt`; empty without one.
pub async fn stored() -> String {
    let path = r"jsonpath={.data.ca\.crt}";
    decoded(&system(&["get", "secret", SECRET, "-o", path]).await)
}

/// Replaces the Secret's data.
pub async fn store(data: &[(&str, &str)]) {
    let data: serde_json::Map<String, Value> = data
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!(STANDARD.encode(text))))
        .collect();
    let patch = json!([{ "op": "add", "path": "/data", "value": data }]).to_string();
    system(&["patch", "secret", SECRET, "--type=json", "-p", &patch]).await;
}

/// The webhook configuration's `caBundle`, PEM; empty without one.
pub async fn bundle() -> String {
    let path = "jsonpath={.webhooks[0].clientConfig.caBundle}";
    decoded(
        &kubectl(&[
            "get",
            "mutatingwebhookconfiguration",
            CONFIGURATION,
            "-o",
            path,
        ])
        .await,
    )
}

/// Sets the webhook configuration's `caBundle`; empty text removes it.
pub async fn set_bundle(pem: &str) {
    let mut operations = Vec::new();
    for entry in 0..entries().await {
        let path = format!("/webhooks/{entry}/clientConfig/caBundle");
        operations.push(if pem.is_empty() {
            json!({ "op": "remove", "path": path })
        } else {
            json!({ "op": "add", "path": path, "value": STANDARD.encode(pem) })
        });
    }
    let patch = json!(operations);
    let (kind, patch) = ("mutatingwebhookconfiguration", patch.to_string());
    kubectl(&["patch", kind, CONFIGURATION, "--type=json", "-p", &patch]).await;
}

/// The number of entries in the webhook configuration. Upstream's has one.
pub async fn entries() -> usize {
    let names = "jsonpath={.webhooks[*].name}";
    let get = [
        "get",
        "mutatingwebhookconfiguration",
        CONFIGURATION,
        "-o",
        names,
    ];
    kubectl(&get).await.split_whitespace().count()
}

/// The certificates of PEM text.
pub fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.expect("PEM text holds certificates"))
        .collect()
}

/// Whether a client that trusts these certificates alone accepts the replica's.
pub async fn is_trusted(replica: &v1::Pod, roots: &[CertificateDer<'static>]) -> bool {
    connect(replica, roots).await.is_ok()
}

/// A connection to the replica, as API servers make it.
///
/// # Errors
///
/// When it does not listen, or these roots did not issue its certificate.
pub async fn connect(
    replica: &v1::Pod,
    roots: &[CertificateDer<'static>],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_root_certificates(store)
        .with_no_client_auth();
    let address = replica
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.as_deref())
        .expect("a ready pod has an address");
    let name = format!("azure-wi-webhook-webhook-service.{SYSTEM_NAMESPACE}.svc");
    let name = ServerName::try_from(name).expect("it is a DNS name");
    let stream = TcpStream::connect((address, 9443)).await?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

fn decoded(text: &str) -> String {
    let bytes = STANDARD.decode(text.trim()).expect("it is base64");
    String::from_utf8(bytes).expect("it is PEM text")
}
