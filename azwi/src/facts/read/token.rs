//! Requests a token for one service account and reads its claims. The token itself is for an exchange alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::token::DEFAULT_AUDIENCE;
use proxy::entra::Assertion;
use serde::Deserialize;
use serde_json::json;

use super::reader::{ReadError, Reader};
use crate::facts::Facts;
use crate::facts::token::Token;

/// A token for the target's service account, and its claims. `None` when there is none to request, or it was not
/// given.
pub(super) async fn read(reader: &mut Reader, facts: &Facts) -> Option<(Token, Assertion)> {
    let template = facts.workloads.first().map(|it| &it.template);
    let template = template.or_else(|| facts.pods.first().map(|it| &it.template))?;
    let namespace = &facts.target.as_ref()?.namespace;
    let name = &template.service_account;
    let accounts = facts.accounts.as_ref()?;
    // The chain is broken before its token.
    if !template.is_labelled() || !accounts.contains_key(&(namespace.clone(), name.clone())) {
        return None;
    }
    let settings = facts
        .installation
        .as_ref()
        .and_then(|it| it.settings.as_ref());
    let audience = settings.map_or(DEFAULT_AUDIENCE, |it| it.audience.as_str());
    claims(reader, namespace, name, audience).await
}

/// A token of one service account, and its claims. `None` and a gap when it is not given.
pub(crate) async fn claims(
    reader: &mut Reader,
    namespace: &str,
    name: &str,
    audience: &str,
) -> Option<(Token, Assertion)> {
    match request(reader, namespace, name, audience).await {
        Ok(answer) => Some(answer),
        Err(error) => {
            let resource = "serviceaccounts/token".to_owned();
            reader.miss("create", resource, Some(namespace), &error);
            None
        }
    }
}

async fn request(
    reader: &Reader,
    namespace: &str,
    name: &str,
    audience: &str,
) -> Result<(Token, Assertion), ReadError> {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "audiences": [audience], "expirationSeconds": LIFETIME_SECONDS },
    });
    let text = reader.post(&path, body.to_string().into_bytes()).await?;
    let answer: Answer = serde_json::from_str(&text)?;
    let token = &answer.status.token;
    let assertion = Assertion::parse(token).ok_or(ReadError::NoToken)?;
    let (header, claims) = claims_of(token).unwrap_or_default();
    let token = Token {
        algorithm: header.alg,
        key_id: header.kid,
        issuer: claims.iss,
        subject: claims.sub,
        audiences: claims.aud,
    };
    Ok((token, assertion))
}

/// Header and claims of a token. `None` when it is none.
pub(super) fn claims_of(token: &str) -> Option<(Claims, Claims)> {
    let mut parts = token.split('.').map(|part| {
        // The sentence of a decoder could quote the token.
        let decoded = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Claims>(&decoded).ok()
    });
    Some((parts.next()??, parts.next()??))
}

#[derive(Deserialize)]
struct Answer {
    status: AnswerStatus,
}

#[derive(Deserialize)]
struct AnswerStatus {
    token: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    alg: String,
    kid: String,
    iss: String,
    sub: String,
    pub(super) aud: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub(super) exp: i64,
}

/// The shortest that the API server gives.
const LIFETIME_SECONDS: u32 = 600;
