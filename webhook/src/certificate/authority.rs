//! The webhook's certificate authority: created once, stored in the Secret, shared by all replicas.
//! Each replica issues its own leaf and keeps the leaf's key in memory.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::bundle;

/// A certificate authority with its key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// From when on it is valid, and when to create the next one.
    usable: Range<SystemTime>,
}

/// A certificate for the webhook's service.
pub struct Leaf {
    /// The certificate and its key, for TLS.
    pub certified: CertifiedKey,
    /// From when on it is valid, and when to issue the next one.
    pub usable: Range<SystemTime>,
}

/// Why there is no usable authority.
#[derive(Clone, Debug, Error)]
pub enum AuthorityError {
    /// `ca.crt` is missing or no certificate.
    #[error("ca.crt holds no certificate")]
    Certificate,
    /// `ca.key` is missing or no key.
    #[error("ca.key holds no private key")]
    Key,
    /// The key belongs to another certificate.
    #[error("ca.key does not belong to the first certificate of ca.crt")]
    Mismatch,
    /// The certificate library failed.
    #[error("{0}")]
    Rcgen(#[from] rcgen::Error),
    /// The TLS library refused the new certificate.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// Creates an authority. Returns it with its key as PEM text, which goes only to the Secret.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn generate(now: SystemTime) -> Result<(Self, String), AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "azure-workload-identity-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + AUTHORITY_LIFE).into();
        let key = KeyPair::generate()?;
        let key_pem = key.serialize_pem();
        let certificate = params.self_signed(&key)?.der().clone();
        Ok((Self::from_parts(certificate, key)?, key_pem))
    }

    /// Reads `ca.crt` and `ca.key`, ours or those of azure-workload-identity, whose key is an
    /// `RSA PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// When they are not a matching pair.
    pub fn parse(certificates: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let bundle = bundle::Bundle::parse(certificates);
        let certificate = bundle.first().ok_or(AuthorityError::Certificate)?.clone();
        let key = match PrivateKeyDer::from_pem_slice(key).map_err(|_| AuthorityError::Key)? {
            PrivateKeyDer::Pkcs1(key) => pkcs8_of_rsa(key.secret_pkcs1_der()),
            key => key,
        };
        Self::from_parts(certificate, KeyPair::try_from(&key)?)
    }

    fn from_parts(
        certificate: CertificateDer<'static>,
        key: KeyPair,
    ) -> Result<Self, AuthorityError> {
        let (_, parsed) =
            X509Certificate::from_der(&certificate).map_err(|_| AuthorityError::Certificate)?;
        if parsed.public_key().subject_public_key.data != key.der_bytes() {
            return Err(AuthorityError::Mismatch);
        }
        let usable = usable(&certificate).ok_or(AuthorityError::Certificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            certificate,
            issuer,
            usable,
        })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Whether to create the next authority: 90 days before this one expires, or while this one is
    /// not valid yet because its creator's clock was ahead.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        !self.usable.contains(&now)
    }

    /// Issues a certificate for the DNS names. Its key is new and never leaves memory.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn issue(&self, names: &[String], now: SystemTime) -> Result<Leaf, AuthorityError> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = names.first() {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LEAF_LIFE).into();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let usable = usable(&certificate).ok_or(AuthorityError::Certificate)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = rustls::crypto::ring::default_provider()
            .key_provider
            .load_private_key(key)?;
        Ok(Leaf {
            certified: CertifiedKey::new(vec![certificate], Arc::clone(&key)),
            usable,
        })
    }
}

/// Without the key.
impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("usable", &self.usable)
            .finish_non_exhaustive()
    }
}

/// From the start of a certificate's validity to two thirds of its life, or to 90 days before it expires
/// if that is later, as in azure-workload-identity.
fn usable(certificate: &CertificateDer<'_>) -> Option<Range<SystemTime>> {
    let (not_before, not_after) = bundle::lifetime(certificate)?;
    let life = not_after.duration_since(not_before).ok()?;
    let until = not_before.checked_add((life * 2 / 3).max(life.saturating_sub(90 * DAY)))?;
    Some(not_before..until)
}

/// Wraps an RSA key of PKCS #1 (RFC 8017 A.1.2) as PKCS #8 (RFC 5208), the one form that ring
/// accepts.
fn pkcs8_of_rsa(key: &[u8]) -> PrivateKeyDer<'static> {
    // version 0, then AlgorithmIdentifier { rsaEncryption, NULL }
    const HEAD: [u8; 18] = [
        0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
        0x01, 0x05, 0x00,
    ];
    let body = [&HEAD[..], &der(0x04, key)].concat();
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der(0x30, &body)))
}

/// A DER element with a definite length (X.690 8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        element.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
        element.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
        element.extend(significant);
    }
    element.extend(content);
    element
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const AUTHORITY_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How far certificates are dated back, for API servers whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(3600);
