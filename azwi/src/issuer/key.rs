//! Public keys of service account tokens, from the files that kube-apiserver reads them from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{KeyPair, RsaKeyPair};
use serde_json::Map;
use thiserror::Error;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey as Parsed, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::facts::key_set::Key;

/// An RSA key that verifies tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The modulus, big-endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// The exponent, big-endian, without leading zeros.
    pub exponent: Vec<u8>,
}

/// A file's keys cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// It has no key.
    #[error(
        "it has no PEM block of a public key (PUBLIC KEY, RSA PUBLIC KEY, CERTIFICATE) or of an RSA private key"
    )]
    None,
    /// A block cannot be read.
    #[error("PEM block {0} cannot be read as a key")]
    Block(String),
    /// A key of another kind.
    #[error(
        "it has a key that is not RSA: Entra accepts tokens signed with RS256 alone. Make one with: openssl genrsa -out sa.key 2048"
    )]
    NotRsa,
    /// A short key.
    #[error("its RSA key has {0} bits: Entra and kube-apiserver need 2048 at least")]
    Short(usize),
}

/// The keys of a PEM file. Of a private key, its public part.
///
/// # Errors
///
/// When it has none, or one that Entra does not accept.
pub fn read_keys(text: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    // Editors of Windows write a byte order mark.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut keys = Vec::new();
    for pem in Pem::iter_from_buffer(text) {
        let pem = pem.map_err(|_| KeyError::Block(format!("{}", keys.len() + 1)))?;
        if let Some(key) = read_block(&pem.label, &pem.contents)? {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return Err(KeyError::None);
    }
    Ok(keys)
}

fn read_block(label: &str, der: &[u8]) -> Result<Option<PublicKey>, KeyError> {
    let failed = || KeyError::Block(label.to_owned());
    let key = match label {
        "PUBLIC KEY" => of_info(&SubjectPublicKeyInfo::from_der(der).map_err(|_| failed())?.1)?,
        "RSA PUBLIC KEY" => PublicKey::of(&RSAPublicKey::from_der(der).map_err(|_| failed())?.1)?,
        "CERTIFICATE" => {
            let (_, certificate) =
                x509_parser::parse_x509_certificate(der).map_err(|_| failed())?;
            of_info(certificate.public_key())?
        }
        "RSA PRIVATE KEY" => of_pair(&RsaKeyPair::from_der(der).map_err(|_| failed())?)?,
        "PRIVATE KEY" => of_pair(&RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::NotRsa)?)?,
        "EC PRIVATE KEY" => return Err(KeyError::NotRsa),
        // Such as EC PARAMETERS.
        _ => return Ok(None),
    };
    Ok(Some(key))
}

fn of_info(info: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, KeyError> {
    match info.parsed() {
        Ok(Parsed::RSA(key)) => PublicKey::of(&key),
        _ => Err(KeyError::NotRsa),
    }
}

fn of_pair(pair: &RsaKeyPair) -> Result<PublicKey, KeyError> {
    let public = pair.public_key().as_ref();
    let (_, key) = RSAPublicKey::from_der(public).map_err(|_| KeyError::NotRsa)?;
    PublicKey::of(&key)
}

impl PublicKey {
    fn of(key: &RSAPublicKey<'_>) -> Result<Self, KeyError> {
        let trimmed =
            |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|it| *it == 0).collect() };
        let key = Self {
            modulus: trimmed(key.modulus),
            exponent: trimmed(key.exponent),
        };
        match key.modulus.len() * 8 {
            bits if bits < MIN_BITS => Err(KeyError::Short(bits)),
            _ => Ok(key),
        }
    }

    /// The key id that kube-apiserver gives it: a hash of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn id(&self) -> Vec<u8> {
        digest(&SHA256, &self.info()).as_ref().to_vec()
    }

    /// The DER of its SubjectPublicKeyInfo (RFC 3279 section 2.3.1).
    fn info(&self) -> Vec<u8> {
        let integer = |bytes: &[u8]| {
            let sign = bytes.first().is_none_or(|it| *it >= 0x80);
            element(
                INTEGER,
                &[if sign { &[0][..] } else { &[] }, bytes].concat(),
            )
        };
        let numbers = [integer(&self.modulus), integer(&self.exponent)].concat();
        let key = [vec![0], element(SEQUENCE, &numbers)].concat();
        let parts = [element(SEQUENCE, RSA_ENCRYPTION), element(BIT_STRING, &key)];
        element(SEQUENCE, &parts.concat())
    }
}

impl From<&PublicKey> for Key {
    fn from(key: &PublicKey) -> Self {
        let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        Self {
            usage: Some("sig".to_owned()),
            kty: "RSA".to_owned(),
            kid: text(&key.id()),
            alg: Some("RS256".to_owned()),
            n: text(&key.modulus),
            e: text(&key.exponent),
            other: Map::new(),
        }
    }
}

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let mut out = vec![tag];
    if let ..0x80 = content.len() {
        out.extend(length.last());
    } else {
        let bytes: Vec<u8> = length.iter().copied().skip_while(|it| *it == 0).collect();
        // A usize has eight bytes.
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
        out.extend(bytes);
    }
    out.extend(content);
    out
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// The object identifier 1.2.840.113549.1.1.1, and NULL for its parameters.
const RSA_ENCRYPTION: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
const MIN_BITS: usize = 2048;
