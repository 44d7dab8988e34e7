//! The published keys of issuers. As Entra does, fetches them on demand, caches them, and fetches them
//! again when a token names an unknown key. Those of an issuer that is a static website of the emulator are found by its
//! discovery document.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::jwt::{KeySet, PublicKey};
use crate::lock;
use crate::model::Issuer;
use crate::storage::website_host;

/// The timeout of a request to an issuer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// As registered.
    Registered(Issuer),
    /// A static website of this emulator, named by its discovery document.
    Website {
        /// The issuer, as tokens name it.
        issuer: String,
        /// Where the emulator listens.
        address: SocketAddr,
        /// The emulator's CA, PEM.
        ca_pem: String,
    },
}

impl Source {
    /// The name under which the keys are cached.
    fn name(&self) -> &str {
        match self {
            Self::Registered(issuer) => issuer.jwks_url.as_deref().unwrap_or_default(),
            Self::Website { issuer, .. } => issuer,
        }
    }

    fn issuer(&self) -> &str {
        match self {
            Self::Registered(issuer) => &issuer.issuer,
            Self::Website { issuer, .. } => issuer,
        }
    }
}

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

/// What a discovery document names (OpenID Connect Discovery 1.0 section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The keys fetched so far.
#[derive(Default)]
pub(crate) struct Keys {
    fetched: Mutex<HashMap<String, Arc<KeySet>>>,
}

impl Keys {
    /// The issuer's key with this id; `None` when the issuer has no such key.
    pub(crate) async fn find(
        &self,
        source: &Source,
        kid: &str,
    ) -> Result<Option<PublicKey>, KeysError> {
        if let Source::Registered(Issuer {
            jwks: Some(keys), ..
        }) = source
        {
            return Ok(keys.find(kid).cloned());
        }
        let known = lock(&self.fetched).get(source.name()).cloned();
        if let Some(key) = known.and_then(|keys| keys.find(kid).cloned()) {
            return Ok(Some(key));
        }
        let url = match source {
            Source::Registered(_) => source.name().to_owned(),
            Source::Website { issuer, .. } => jwks_uri(source, issuer).await?,
        };
        let keys: Arc<KeySet> = Arc::new(fetch(source, &url).await?);
        lock(&self.fetched).insert(source.name().to_owned(), Arc::clone(&keys));
        Ok(keys.find(kid).cloned())
    }

    /// Removes the cached keys.
    pub(crate) fn clear(&self) {
        lock(&self.fetched).clear();
    }
}

/// The address of the keys by the issuer's discovery document, which has to name the issuer to the letter.
async fn jwks_uri(source: &Source, issuer: &str) -> Result<String, KeysError> {
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let Discovery {
        issuer: named,
        jwks_uri,
    } = fetch(source, &url).await.map_err(|error| match error {
        // Only the keys have a refusal of their own for what cannot be parsed.
        KeysError::Parse { url, reason } => KeysError::Fetch {
            issuer: issuer.to_owned(),
            url,
            reason,
        },
        other => other,
    })?;
    if named == issuer {
        return Ok(jwks_uri);
    }
    Err(KeysError::Fetch {
        issuer: issuer.to_owned(),
        url,
        reason: format!("it is of issuer {named}"),
    })
}

/// Fetches a document. No redirect is followed from a website: that Entra does is not documented.
async fn fetch<T: DeserializeOwned>(source: &Source, url: &str) -> Result<T, KeysError> {
    let failed = |reason: String| KeysError::Fetch {
        issuer: source.issuer().to_owned(),
        url: url.to_owned(),
        reason,
    };
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(source).map_err(failed)?)
        .timeout(TIMEOUT)
        .no_proxy();
    if let Source::Website { address, .. } = source {
        let host = website_host(url);
        let host = host.ok_or_else(|| failed("it is no static website over https".to_owned()))?;
        client = client.redirect(Policy::none()).resolve(&host, *address);
    }
    let client = client.build().map_err(|error| failed(describe(&error)))?;
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

/// Trusts the emulator's CA for its websites, the issuer's own where it is registered, or the public ones.
fn tls(source: &Source) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let pem = match source {
        Source::Website { ca_pem, .. } => Some(ca_pem.clone()),
        Source::Registered(issuer) => match (&issuer.ca_pem, &issuer.ca_file) {
            (Some(pem), _) => Some(pem.clone()),
            (None, Some(path)) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {path}: {error}"))?,
            ),
            (None, None) => None,
        },
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
