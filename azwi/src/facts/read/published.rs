//! Reads the issuer's documents from the issuer itself, as Entra does.

use proxy::entra::{body, chain, outside};
use serde::Deserialize;

use super::outside::{egress, roots};
use super::reader::Reader;
use crate::facts::Facts;
use crate::facts::token::{Key, Published};

/// The documents of this issuer. `None`, and a gap, when it cannot be reached from here.
pub(super) async fn read(reader: &mut Reader, facts: &Facts, issuer: &str) -> Option<Published> {
    let url = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
    match documents(facts, &url).await {
        Ok(published) => Some(published),
        Err(reason) => {
            reader.miss_elsewhere("get", url, reason);
            None
        }
    }
}

async fn documents(facts: &Facts, url: &str) -> Result<Published, String> {
    let egress = egress().map_err(|it| it.to_string())?;
    let roots = roots(facts).map_err(|it| it.to_string())?;
    let http = outside(egress.as_ref(), roots).map_err(|it| it.to_string())?;
    let get = async |url: &str| {
        let response = http
            .get(url)
            .timeout(super::reader::TIMEOUT)
            .send()
            .await
            .map_err(|it| chain(&it.without_url()))?;
        let status = response.status().as_u16();
        let text = body(response)
            .await
            .map_err(|it| chain(&it.without_url()))?;
        Ok::<_, String>((status, text))
    };
    let missing = |url: &str, reason: String| Published::Missing {
        url: url.to_owned(),
        reason,
    };
    let (status, text) = get(url).await?;
    if status != 200 {
        return Ok(missing(url, format!("its status is {status}")));
    }
    let Ok(Discovery { issuer, jwks_uri }) = serde_json::from_slice(&text) else {
        let reason = "it is not JSON with issuer and jwks_uri";
        return Ok(missing(url, reason.to_owned()));
    };
    let (status, text) = get(&jwks_uri).await?;
    if status != 200 {
        return Ok(missing(&jwks_uri, format!("its status is {status}")));
    }
    let Ok(KeySet { keys }) = serde_json::from_slice(&text) else {
        return Ok(missing(&jwks_uri, "it is no JSON Web Key Set".to_owned()));
    };
    Ok(Published::Documents {
        issuer,
        keys_url: jwks_uri,
        keys: keys.into_iter().map(Key::from).collect(),
    })
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
struct WireKey {
    #[serde(default)]
    kid: String,
    #[serde(default)]
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
}

impl From<WireKey> for Key {
    fn from(wire: WireKey) -> Self {
        Self {
            id: wire.kid,
            kind: wire.kty,
            algorithm: wire.alg,
            usage: wire.usage,
        }
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";
