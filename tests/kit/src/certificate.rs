//! Certificate authorities and certificates, made in memory and valid at once.
//!
//! They are as strict clients want them (Go, OpenSSL, Python 3.13): key usages, an authority key
//! identifier, and a common name. Keys are ECDSA P-256.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

/// Why a certificate cannot be made or used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A name is neither a DNS name nor an address, or the machine has no randomness.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The text is not PEM.
    #[error("cannot read PEM: {0}")]
    Pem(#[from] pem::Error),
    /// The TLS library refuses it.
    #[error("cannot use the certificate: {0}")]
    Use(#[from] rustls::Error),
}

type Result<T> = std::result::Result<T, CertificateError>;

/// A certificate authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// An authority that is valid for ten years.
    ///
    /// # Errors
    ///
    /// When the machine has no randomness.
    pub fn new(common_name: &str) -> Result<Self> {
        Self::valid_in(common_name, LONG)
    }

    /// An authority that is valid in these days from now; negative ones are past.
    ///
    /// # Errors
    ///
    /// When the machine has no randomness.
    pub fn valid_in(common_name: &str, days: Range<i64>) -> Result<Self> {
        let mut params = params(common_name, days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key, PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server's certificate for these DNS names and addresses, valid for ten years.
    ///
    /// # Errors
    ///
    /// When a name is neither a DNS name nor an address.
    pub fn server(&self, common_name: &str, names: &[&str]) -> Result<Certificate> {
        self.server_valid_in(common_name, names, LONG)
    }

    /// The same, valid in these days from now; negative ones are past.
    ///
    /// # Errors
    ///
    /// When a name is neither a DNS name nor an address.
    pub fn server_valid_in(
        &self,
        common_name: &str,
        names: &[&str],
        days: Range<i64>,
    ) -> Result<Certificate> {
        let mut params = params(common_name, days);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client's certificate. Kubernetes reads the user from the common name and its group from the
    /// organization.
    ///
    /// # Errors
    ///
    /// When the machine has no randomness.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Certificate> {
        let mut params = params(user, LONG);
        if let Some(group) = group {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Certificate> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        Ok(Certificate {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM.
    pub key: String,
}

impl Certificate {
    /// A TLS server that presents this certificate and speaks HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the key does not belong to the certificate.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<std::result::Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let mut server = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }
}

/// A TLS client that trusts these certificates (PEM) and no others.
///
/// # Errors
///
/// When one of them is malformed.
pub fn client_config(trusted: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted) {
        roots.add(certificate?)?;
    }
    let client = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(client))
}

fn params(common_name: &str, days: Range<i64>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = in_days(days.start).into();
    params.not_after = in_days(days.end).into();
    params
}

/// A minute earlier than that many days from now, so that what begins now is valid on a clock that
/// is a little late.
fn in_days(days: i64) -> SystemTime {
    let now = SystemTime::now() - Duration::from_secs(60);
    let distance = Duration::from_secs(days.unsigned_abs() * 86_400);
    if days < 0 {
        now - distance
    } else {
        now + distance
    }
}

/// From yesterday on, for ten years.
const LONG: Range<i64> = -1..3_650;

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::verify_server_cert_signed_by_trust_anchor;
    use rustls::pki_types::UnixTime;
    use rustls::server::ParsedCertificate;

    #[test]
    fn a_server_is_trusted_through_its_authority_alone() {
        let authority = Authority::new("one").unwrap();
        let other = Authority::new("other").unwrap();
        let server = authority.server("server", &["localhost"]).unwrap();
        assert!(is_trusted(&server, authority.certificate()));
        assert!(!is_trusted(&server, other.certificate()));
    }

    #[test]
    fn a_certificate_is_valid_in_its_days_alone() {
        let authority = Authority::new("authority").unwrap();
        for (days, expected) in [(0..1, true), (-2..-1, false), (1..2, false)] {
            let server = authority.server_valid_in("server", &["localhost"], days.clone());
            let is_valid = is_trusted(&server.unwrap(), authority.certificate());
            assert_eq!(is_valid, expected, "{days:?}");
        }
    }

    #[test]
    fn a_name_that_is_no_ascii_is_an_error() {
        let authority = Authority::new("authority").unwrap();
        assert!(authority.server("server", &["höst"]).is_err());
    }

    fn is_trusted(server: &Certificate, authority: &str) -> bool {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
        roots.add(trusted).unwrap();
        let certificate = CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap();
        let parsed = ParsedCertificate::try_from(&certificate).unwrap();
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots,
            &[],
            UnixTime::now(),
            ring::default_provider()
                .signature_verification_algorithms
                .all,
        )
        .is_ok()
    }
}
