//! Certificates in an environment variable.

use std::fmt;
use std::str::FromStr;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// The longest text, in bytes. Linux allows 128 KiB for a variable and its name (`MAX_ARG_STRLEN`).
pub const MAX_CA_DATA: usize = 131_000;

/// Certificates of authorities (PEM) that fit into a variable: at least one, each of which the TLS
/// library accepts as a trust anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaData {
    certificates: Vec<CertificateDer<'static>>,
    text: String,
}

/// The text has no certificates to use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CaDataError {
    /// There is no certificate.
    #[error("there is no certificate in PEM form")]
    Empty,
    /// More than [`MAX_CA_DATA`].
    #[error(
        "it has {0} bytes, and a variable holds {MAX_CA_DATA} at most: leave out public authorities, \
        which the proxy trusts already"
    )]
    Long(usize),
    /// A certificate, or a PEM block that is labelled as one, cannot be read.
    #[error("a certificate cannot be read")]
    Malformed,
}

impl CaData {
    /// The certificates, at least one.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The PEM text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for CaData {
    type Err = CaDataError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_CA_DATA {
            return Err(CaDataError::Long(text.len()));
        }
        Ok(Self {
            certificates: certificates(text.as_bytes())?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for CaData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The certificates in PEM text of any length.
///
/// # Errors
///
/// There is none, or the TLS library cannot use one as a trust anchor.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaDataError> {
    let mut anchors = RootCertStore::empty();
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| CaDataError::Malformed)?;
        anchors
            .add(certificate.clone())
            .map_err(|_| CaDataError::Malformed)?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(CaDataError::Empty);
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["ca.example".to_owned()]).unwrap();
        parameters.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn accepts_several_certificates_among_remarks() {
        let text = format!("# one\n{}\n# two\n{}", certificate(), certificate());
        let data: CaData = text.parse().unwrap();
        assert_eq!(data.certificates().len(), 2);
        assert_eq!(data.to_string(), text);
    }

    #[test]
    fn rejects_certificates_that_the_tls_library_cannot_use() {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let mixed = format!("{}{garbage}", certificate());
        for text in [garbage, &mixed] {
            assert_eq!(text.parse::<CaData>(), Err(CaDataError::Malformed));
        }
        assert_eq!("PEM".parse::<CaData>(), Err(CaDataError::Empty));
    }

    #[test]
    fn rejects_more_than_a_variable_holds() {
        let text = format!("{}{}", certificate(), " ".repeat(MAX_CA_DATA));
        assert_eq!(text.parse::<CaData>(), Err(CaDataError::Long(text.len())));
    }
}
