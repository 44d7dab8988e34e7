//! The issuer's documents as the internet has them. No redirect is followed: that Entra does is not documented.

use std::path::Path;
use std::time::Duration;

use proxy::entra::{Egress, EgressError, Roots, RootsError, body, chain, outside};
use reqwest::header::LOCATION;
use serde::de::DeserializeOwned;
use thiserror::Error;
use webhook::inject::printable;

use super::documents::{DISCOVERY_PATH, Discovery, is_public, url};
use super::key_set::KeySet;

/// The issuer's documents.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// Both.
    Documents {
        /// The discovery document.
        discovery: Discovery,
        /// The key set.
        keys: KeySet,
    },
    /// The issuer answers with something else.
    Missing {
        /// The URL of the document.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// The issuer cannot be reached from here. From elsewhere it may be.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The egress proxy cannot be used.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The certificate authorities cannot be read.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The HTTP library refuses the settings.
    #[error(transparent)]
    Client(#[from] proxy::entra::ClientError),
    /// There is no answer.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The URL of the document.
        url: String,
        /// Why.
        reason: String,
    },
}

/// Reads the documents of an issuer: by HTTPS, through the egress proxy of `HTTPS_PROXY`, with Mozilla's certificate
/// authorities and those of `SSL_CERT_FILE`.
///
/// # Errors
///
/// When the issuer cannot be reached from here.
pub async fn published(issuer: &str) -> Result<Published, FetchError> {
    let egress = Egress::from_environment(std::env::var_os)?;
    let mut roots = Roots::built_in();
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|it| !it.is_empty()) {
        roots.add_file(Path::new(&file))?;
    }
    let http = outside(egress.as_ref(), roots)?;
    let discovery = match document::<Discovery>(&http, url(issuer, DISCOVERY_PATH)).await? {
        Ok(discovery) => discovery,
        Err(missing) => return Ok(missing),
    };
    if !is_public(&discovery.jwks_uri) {
        let reason = "it is no public https URL, so Entra cannot read the keys".to_owned();
        let url = printable(&discovery.jwks_uri);
        return Ok(Published::Missing { url, reason });
    }
    Ok(match document(&http, discovery.jwks_uri.clone()).await? {
        Ok(keys) => Published::Documents { discovery, keys },
        Err(missing) => missing,
    })
}

async fn document<T: DeserializeOwned>(
    http: &reqwest::Client,
    url: String,
) -> Result<Result<T, Published>, FetchError> {
    let unreachable = |error: reqwest::Error| FetchError::Unreachable {
        url: url.clone(),
        reason: chain(&error.without_url()),
    };
    let response = http.get(&url).timeout(TIMEOUT).send().await;
    let response = response.map_err(unreachable)?;
    let status = response.status();
    let location = response.headers().get(LOCATION);
    let location = location.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
    let text = body(response).await.map_err(unreachable)?;
    let missing = |reason: String| {
        let url = url.clone();
        Ok(Err(Published::Missing { url, reason }))
    };
    if let Some(location) = location.filter(|_| status.is_redirection()) {
        return missing(format!(
            "it redirects to {}; whether Entra follows that is not documented",
            printable(&location)
        ));
    }
    if status != reqwest::StatusCode::OK {
        return missing(format!("its status is {}", status.as_u16()));
    }
    match serde_json::from_slice(&text) {
        Ok(document) => Ok(Ok(document)),
        Err(error) => missing(format!("it is no such document: {error}")),
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);
