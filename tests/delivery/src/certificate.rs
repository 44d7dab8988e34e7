//! Certificates that the webhook did not make itself, stored and injected as cert-manager does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{CONFIGURATION, SYSTEM_NAMESPACE, authority, kubectl_with_input, system};
use serde_json::{Map, Value, json};
use testkit::certificate::{Authority, Certificate};

/// An authority, and a server's certificate that it issued.
pub struct Issued {
    /// The authority.
    pub authority: Authority,
    /// The server's certificate.
    pub server: Certificate,
}

impl Issued {
    /// A new authority, and a certificate for these DNS names.
    pub fn new(names: &[&str]) -> Self {
        let authority = Authority::new("test issuer").expect("the machine has randomness");
        let server = authority.server("webhook", names);
        Self {
            authority,
            server: server.expect("they are DNS names"),
        }
    }

    /// A new authority, and a certificate for the webhook's Service.
    pub fn for_the_webhook() -> Self {
        let service = "azure-wi-webhook-webhook-service";
        Self::new(&[&format!("{service}.{SYSTEM_NAMESPACE}.svc")])
    }

    /// The data of a Secret with the certificate and its authority, as cert-manager writes it.
    pub(crate) fn secret_data(&self) -> Map<String, Value> {
        [
            ("ca.crt", self.authority.certificate()),
            ("tls.crt", &self.server.certificate),
            ("tls.key", &self.server.key),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), json!(STANDARD.encode(text))))
        .collect()
    }

    /// Makes the Secret as cert-manager does.
    pub async fn store(&self, name: &str) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": SYSTEM_NAMESPACE },
            "type": "kubernetes.io/tls",
            "data": self.secret_data(),
        });
        kubectl_with_input(&["create", "-f", "-"], &secret.to_string()).await;
    }

    /// Makes the API server trust the authority and no other, as cert-manager's injector does.
    pub async fn inject(&self) {
        let ca = STANDARD.encode(self.authority.certificate());
        let entries = 0..authority::entries().await;
        let operations = entries.map(|entry| {
            let path = format!("/webhooks/{entry}/clientConfig/caBundle");
            json!({ "op": "add", "path": path, "value": ca })
        });
        let patch: Value = operations.collect();
        let (kind, patch) = ("mutatingwebhookconfiguration", patch.to_string());
        let manager = "--field-manager=cert-manager-cainjector";
        system(&[
            "patch",
            kind,
            CONFIGURATION,
            "--type=json",
            manager,
            "-p",
            &patch,
        ])
        .await;
    }
}
