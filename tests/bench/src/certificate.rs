//! A CA and a server's certificate of it, made anew for each run.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// What a TLS server needs, and the CA's certificate in PEM for its clients.
#[derive(Debug)]
pub struct Certificate {
    /// For the clients.
    pub ca: String,
    /// For the server.
    pub server: Arc<ServerConfig>,
}

/// Makes a certificate with a P-256 key for one name.
///
/// # Errors
/// When a library refuses; not seen.
pub fn make(name: &str) -> Result<Certificate> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(DnType::CommonName, "Benchmark CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_pem = ca.self_signed(&ca_key)?.pem();

    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new([name.to_owned()])?
        .signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut server =
        ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificate {
        ca: ca_pem,
        server: Arc::new(server),
    })
}
