//! A certificate in files that cert-manager or an operator renews.
//!
//! The contents are compared every five seconds. The files cannot be watched: kubelet updates a
//! mounted Secret by replacing a symbolic link.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::Serving;

/// Why the files cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the read.
        reason: std::io::Error,
    },
    /// `tls.crt` holds no certificate.
    #[error("tls.crt holds no certificate")]
    Certificate,
    /// `tls.key` holds no private key.
    #[error("tls.key holds no private key")]
    Key,
    /// The key belongs to another certificate, or is of a kind that TLS cannot use.
    #[error("tls.crt and tls.key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// Serves with `tls.crt` and `tls.key` of `directory`, for ever. While they are half-written or do not
/// match, it keeps serving the old pair.
pub async fn run(directory: PathBuf, serving: Arc<Serving>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut current = None;
    let mut logged = String::new();
    loop {
        ticks.tick().await;
        let result = read(&directory).and_then(|pair| {
            if current.as_ref() != Some(&pair) {
                serving.replace(parse(&pair)?);
                serving.set_trusted(true);
                info!(directory = %directory.display(), "serving certificate loaded");
                current = Some(pair);
            }
            Ok(())
        });
        serving.set_degraded(result.is_err());
        let text = result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        if !text.is_empty() && text != logged {
            warn!(error = text, "serving certificate not replaced");
        }
        logged = text;
    }
}

/// The bytes of `tls.crt` and `tls.key`.
type Pair = [Vec<u8>; 2];

fn read(directory: &Path) -> Result<Pair, FilesError> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|reason| FilesError::Read { path, reason })
    };
    Ok([read("tls.crt")?, read("tls.key")?])
}

fn parse([certificates, key]: &Pair) -> Result<CertifiedKey, FilesError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .flatten()
        .collect();
    if chain.is_empty() {
        return Err(FilesError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| FilesError::Key)?;
    let provider = rustls::crypto::ring::default_provider();
    Ok(CertifiedKey::from_der(chain, key, &provider)?)
}

/// How often the files are read.
const PERIOD: Duration = Duration::from_secs(5);
