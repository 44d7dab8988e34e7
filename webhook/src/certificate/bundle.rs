//! A list of certificate authorities, as in `caBundle` and `ca.crt`.

use std::time::{SystemTime, UNIX_EPOCH};

use base64_simd::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<CertificateDer<'static>>);

impl Bundle {
    /// The certificates in PEM text. Everything else in it is ignored.
    #[must_use]
    pub fn parse(pem: &[u8]) -> Self {
        let mut bundle = Self::default();
        for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
            if X509Certificate::from_der(&certificate).is_ok() {
                bundle.push(certificate);
            }
        }
        bundle
    }

    /// Appends a certificate unless the bundle has it.
    pub fn push(&mut self, certificate: CertificateDer<'static>) {
        if !self.contains(&certificate) {
            self.0.push(certificate);
        }
    }

    /// Appends the certificates of another bundle that are missing here.
    pub fn merge(&mut self, other: Self) {
        other
            .0
            .into_iter()
            .for_each(|certificate| self.push(certificate));
    }

    /// Whether the bundle has the certificate.
    #[must_use]
    pub fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.0.iter().any(|known| known == certificate)
    }

    /// Whether the bundle has every certificate of the other one.
    #[must_use]
    pub fn has_all(&self, other: &Self) -> bool {
        other.0.iter().all(|it| self.contains(it))
    }

    /// Whether the bundle has a certificate of the other one.
    #[must_use]
    pub fn has_any(&self, other: &Self) -> bool {
        other.0.iter().any(|it| self.contains(it))
    }

    /// The first certificate.
    #[must_use]
    pub fn first(&self) -> Option<&CertificateDer<'static>> {
        self.0.first()
    }

    /// The number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops expired certificates, and all after the first `limit`.
    pub fn retain_valid(&mut self, now: SystemTime, limit: usize) {
        self.0.retain(|certificate| {
            lifetime(certificate).is_some_and(|(_, not_after)| now < not_after)
        });
        self.0.truncate(limit);
    }

    /// The certificates as PEM text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.iter().map(|certificate| pem(certificate)).collect()
    }
}

/// `notBefore` and `notAfter` of the certificate.
#[must_use]
pub fn lifetime(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let time = |seconds: i64| {
        let since_epoch = std::time::Duration::from_secs(seconds.try_into().ok()?);
        UNIX_EPOCH.checked_add(since_epoch)
    };
    Some((
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    ))
}

/// One certificate as PEM text.
fn pem(certificate: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode_to_string(certificate);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(LINE.min(rest.len()));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
