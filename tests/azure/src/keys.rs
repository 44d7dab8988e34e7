//! The published keys of issuers. As Entra does, fetches them on demand, caches them, and fetches them
//! again when a token names an unknown key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::jwt::{KeySet, PublicKey};
use crate::lock;
use crate::model::Issuer;

/// The timeout of a request to an issuer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why an issuer's keys are not known.
#[derive(Debug, Error)]
pub(crate) enum KeysError {
    #[error("cannot fetch the keys of {issuer} from {url}: {reason}")]
    Fetch {
        issuer: String,
        url: String,
        reason: String,
    },
    #[error("{url} does not hold a JSON web key set: {reason}")]
    Parse { url: String, reason: String },
}

/// The keys fetched so far, by issuer.
#[derive(Default)]
pub(crate) struct Keys {
    fetched: Mutex<HashMap<String, Arc<KeySet>>>,
}

impl Keys {
    /// The issuer's key with this id; `None` when the issuer has no such key.
    pub(crate) async fn find(
        &self,
        issuer: &Issuer,
        kid: &str,
    ) -> Result<Option<PublicKey>, KeysError> {
        if let Some(keys) = &issuer.jwks {
            return Ok(keys.find(kid).cloned());
        }
        let url = issuer.jwks_url.clone().unwrap_or_default();
        let known = lock(&self.fetched).get(&url).cloned();
        if let Some(key) = known.and_then(|keys| keys.find(kid).cloned()) {
            return Ok(Some(key));
        }
        let keys = Arc::new(fetch(issuer, &url).await?);
        lock(&self.fetched).insert(url, Arc::clone(&keys));
        Ok(keys.find(kid).cloned())
    }

    /// Removes the cached keys.
    pub(crate) fn clear(&self) {
        lock(&self.fetched).clear();
    }
}

async fn fetch(issuer: &Issuer, url: &str) -> Result<KeySet, KeysError> {
    let failed = |reason: String| KeysError::Fetch {
        issuer: issuer.issuer.clone(),
        url: url.to_owned(),
        reason,
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(issuer).map_err(failed)?)
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .map_err(|error| failed(describe(&error)))?;
    let response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| failed(describe(&error)))?;
    let body = response
        .bytes()
        .await
        .map_err(|error| failed(describe(&error)))?;
    serde_json::from_slice(&body).map_err(|error| KeysError::Parse {
        url: url.to_owned(),
        reason: error.to_string(),
    })
}

/// Trusts the issuer's own CA, or the public ones.
fn tls(issuer: &Issuer) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let pem = match (&issuer.ca_pem, &issuer.ca_file) {
        (Some(pem), _) => Some(pem.clone()),
        (None, Some(path)) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {path}: {error}"))?,
        ),
        (None, None) => None,
    };
    if let Some(pem) = pem {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            certificate
                .map_err(|error| error.to_string())
                .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
                .map_err(|reason| format!("the issuer's CA is no PEM certificate: {reason}"))?;
        }
    } else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(
        ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

/// An error with its causes.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
