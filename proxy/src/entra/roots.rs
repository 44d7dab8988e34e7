//! The certificate authorities that Entra's certificate may come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::value::{CaData, CaDataError, certificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::file;

/// A set of trusted certificate authorities.
#[derive(Clone, Debug)]
pub struct Roots(RootCertStore);

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub enum RootsError {
    /// A file or directory cannot be read.
    #[error("{from}: {path} cannot be read: {source}")]
    Unreadable {
        /// The setting that named it.
        from: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The certificates of a file cannot be used.
    #[error("{from}: {source}")]
    Certificates {
        /// The setting that named the file.
        from: &'static str,
        /// The reason.
        source: CaDataError,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl From<&CaData> for Roots {
    fn from(data: &CaData) -> Self {
        let mut roots = Self(RootCertStore::empty());
        roots.add(data);
        roots
    }
}

impl Roots {
    /// Mozilla's authorities.
    #[must_use]
    pub fn built_in() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// Only the authorities in `pem`.
    ///
    /// # Errors
    ///
    /// `pem` has no certificate, or one that cannot be read. `from` names the setting in the text.
    pub fn only(from: &'static str, pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = Self(RootCertStore::empty());
        roots.add_pem(from, pem)?;
        Ok(roots)
    }

    /// Adds these certificates.
    pub fn add(&mut self, data: &CaData) {
        let certificates = data.certificates().iter().cloned();
        self.0.add_parsable_certificates(certificates);
    }

    fn add_pem(&mut self, from: &'static str, pem: &[u8]) -> Result<(), RootsError> {
        let certificates =
            certificates(pem).map_err(|source| RootsError::Certificates { from, source })?;
        self.0.add_parsable_certificates(certificates);
        Ok(())
    }

    /// Adds the certificates of the file that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has no certificate.
    pub fn add_file(&mut self, path: &Path) -> Result<(), RootsError> {
        self.add_pem(CERT_FILE, &read(CERT_FILE, path)?)
    }

    /// Adds every certificate in the files of a directory of `SSL_CERT_DIR`. Files without
    /// certificates are ignored, as OpenSSL does.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn add_directory(&mut self, path: &Path) -> Result<(), RootsError> {
        let unreadable = |source| RootsError::Unreadable {
            from: CERT_DIR,
            path: path.to_owned(),
            source,
        };
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.path();
            if let Ok(pem) = file::read(&entry, MAX_CERTIFICATES) {
                let certificates = CertificateDer::pem_slice_iter(&pem).flatten();
                self.0.add_parsable_certificates(certificates);
            }
        }
        Ok(())
    }

    /// A client's TLS settings that trust these authorities and no other, with ring's algorithms.
    ///
    /// # Errors
    ///
    /// The TLS library refuses its own settings.
    pub fn client_config(self) -> Result<ClientConfig, RootsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.0)
            .with_no_client_auth())
    }
}

fn read(from: &'static str, path: &Path) -> Result<Vec<u8>, RootsError> {
    file::read(path, MAX_CERTIFICATES).map_err(|source| RootsError::Unreadable {
        from,
        path: path.to_owned(),
        source,
    })
}

/// In bytes. The public authorities that distributions install together have 250 KB.
pub(super) const MAX_CERTIFICATES: u64 = 2 * 1024 * 1024;

const CERT_FILE: &str = "SSL_CERT_FILE";
const CERT_DIR: &str = "SSL_CERT_DIR";

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        let authority = testkit::certificate::Authority::new("ca.example").unwrap();
        authority.certificate().to_owned()
    }

    #[test]
    fn adds_certificates_or_trusts_them_alone() {
        let two = format!("{}\n# a remark\n{}", certificate(), certificate());
        assert_eq!(Roots::only("X", two.as_bytes()).unwrap().0.len(), 2);
        let mut roots = Roots::built_in();
        let before = roots.0.len();
        roots.add(&two.parse().unwrap());
        assert_eq!(roots.0.len(), before + 2);
    }

    #[test]
    fn an_error_names_the_setting() {
        let error = Roots::only("AZWI_CA_DATA", b"hello").unwrap_err();
        assert!(error.to_string().contains("AZWI_CA_DATA"), "{error}");
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Roots::only("X", garbage).is_err());
        let error = Roots::built_in()
            .add_file(Path::new("/nowhere/ca.pem"))
            .unwrap_err();
        assert!(
            error.to_string().contains("SSL_CERT_FILE: /nowhere/ca.pem"),
            "{error}"
        );
    }
}
