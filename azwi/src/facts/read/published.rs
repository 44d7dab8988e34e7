//! The issuer's documents as the internet has them. No redirect is followed: that Entra does is not documented. The
//! authorities of the chart's `proxy.caBundle` are not trusted: Entra does not know them.

use http::header::LOCATION;
use proxy::entra::{body, chain, outside};
use serde::de::DeserializeOwned;
use webhook::inject::printable;

use super::outside::{egress, roots};
use super::reader::{Reader, TIMEOUT};
use crate::facts::issuer::{DISCOVERY_PATH, Discovery, Published, is_public, url};

/// The documents of an issuer. `None` when its URL is not https; `None` and a gap when it cannot be reached from
/// here: from elsewhere it may be.
pub(super) async fn read(reader: &mut Reader, issuer: &str) -> Option<Published> {
    if !issuer.starts_with("https://") {
        return None;
    }
    let url = url(issuer, DISCOVERY_PATH);
    let http = match client() {
        Ok(http) => http,
        Err(reason) => {
            reader.miss_elsewhere("get", url, reason);
            return None;
        }
    };
    match documents(&http, url).await {
        Ok(published) => Some(published),
        Err(Unreachable { url, reason }) => {
            reader.miss_elsewhere("get", url, reason);
            None
        }
    }
}

fn client() -> Result<reqwest::Client, String> {
    let egress = egress().map_err(|it| it.to_string())?;
    let roots = roots().map_err(|it| it.to_string())?;
    outside(egress.as_ref(), roots).map_err(|it| it.to_string())
}

async fn documents(http: &reqwest::Client, url: String) -> Result<Published, Unreachable> {
    let discovery: Discovery = match document(http, url).await? {
        Ok(discovery) => discovery,
        Err(missing) => return Ok(missing),
    };
    if !is_public(&discovery.jwks_uri) {
        let reason = "it is no public https URL, so Entra cannot read the keys".to_owned();
        let url = printable(&discovery.jwks_uri);
        return Ok(Published::Missing { url, reason });
    }
    Ok(match document(http, discovery.jwks_uri.clone()).await? {
        Ok(keys) => Published::Documents { discovery, keys },
        Err(missing) => missing,
    })
}

async fn document<T: DeserializeOwned>(
    http: &reqwest::Client,
    url: String,
) -> Result<Result<T, Published>, Unreachable> {
    let unreachable = |error: reqwest::Error| Unreachable {
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
    if status != http::StatusCode::OK {
        return missing(format!("its status is {}", status.as_u16()));
    }
    match serde_json::from_slice(&text) {
        Ok(document) => Ok(Ok(document)),
        Err(error) => missing(format!("it is no such document: {error}")),
    }
}

/// There is no answer.
struct Unreachable {
    url: String,
    reason: String,
}
