//! Certificates of somebody else's, as cert-manager makes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{CONFIGURATION, system};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

/// An authority and a certificate of it, PEM.
pub struct Issued {
    /// The authority's certificate.
    pub ca: String,
    /// Its key.
    pub ca_key: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Issued {
    /// A new authority, and a certificate for these DNS names.
    pub fn new(names: &[String]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "somebody else's");
        let ca_key = KeyPair::generate().expect("the machine has randomness");
        let ca = params
            .self_signed(&ca_key)
            .expect("the parameters are right");
        let ca_key_pem = ca_key.serialize_pem();
        let issuer = Issuer::from_params(&params, ca_key);

        let mut leaf = CertificateParams::new(names).expect("they are DNS names");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("the machine has randomness");
        let certificate = leaf.signed_by(&key, &issuer);
        Self {
            ca: ca.pem(),
            ca_key: ca_key_pem,
            certificate: certificate.expect("the parameters are right").pem(),
            key: key.serialize_pem(),
        }
    }

    /// One for the webhook's Service.
    pub fn for_the_webhook() -> Self {
        let service = "azure-wi-webhook-webhook-service";
        Self::new(&[format!("{service}.{}.svc", e2e::SYSTEM_NAMESPACE)])
    }

    /// Makes the Secret as cert-manager does.
    pub async fn store(&self, name: &str) {
        let data = [
            ("ca.crt", &self.ca),
            ("tls.crt", &self.certificate),
            ("tls.key", &self.key),
        ];
        let data: serde_json::Map<_, _> = data
            .into_iter()
            .map(|(name, text)| (name.to_owned(), json!(STANDARD.encode(text))))
            .collect();
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": e2e::SYSTEM_NAMESPACE },
            "type": "kubernetes.io/tls",
            "data": data,
        });
        e2e::kubectl_with_input(&["create", "-f", "-"], &secret.to_string()).await;
    }

    /// Makes the API server trust the authority and no other, as cert-manager's injector does.
    pub async fn inject(&self) {
        let ca = STANDARD.encode(&self.ca);
        let patch =
            json!([{ "op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": ca }]);
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
