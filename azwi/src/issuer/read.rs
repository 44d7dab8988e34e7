//! Reads the issuer's documents and a token from the API server.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::token::DEFAULT_AUDIENCE;
use http::Request;
use kube::{Client, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;
use tokio::time::timeout;

use super::documents::{DISCOVERY_PATH, Discovery, KEYS_PATH};
use super::key_set::KeySet;
use crate::facts::token::Token;

/// A document or token cannot be read from the API server.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The API server refuses, or the connection fails.
    #[error("{0}")]
    Answer(Box<Error>),
    /// The answer is something else.
    #[error("the answer is not what the API server documents: {0}")]
    Json(#[from] serde_json::Error),
    /// There is no answer.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Answer(Box::new(error))
    }
}

impl ReadError {
    /// Whether the API server refuses for want of a right.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let Self::Answer(error) = self else {
            return false;
        };
        matches!(&**error, Error::Api(status) if status.is_forbidden())
    }
}

/// The API server's discovery document.
///
/// # Errors
///
/// When it cannot be read.
pub async fn discovery(client: &Client) -> Result<Discovery, ReadError> {
    document(client, DISCOVERY_PATH).await
}

/// The API server's key set.
///
/// # Errors
///
/// When it cannot be read.
pub async fn keys(client: &Client) -> Result<KeySet, ReadError> {
    document(client, KEYS_PATH).await
}

async fn document<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, ReadError> {
    let request = Request::get(format!("/{path}")).body(Vec::new());
    let text = send(client, request.map_err(Error::HttpError)?).await?;
    Ok(serde_json::from_str(&text)?)
}

/// The claims of a new token of a service account. The token itself is dropped.
///
/// # Errors
///
/// When the API server does not issue one.
pub async fn token(client: &Client, namespace: &str, account: &str) -> Result<Token, ReadError> {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "audiences": [DEFAULT_AUDIENCE], "expirationSeconds": LIFETIME_SECONDS },
    });
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(Error::HttpError)?;
    let Answer { status } = serde_json::from_str(&send(client, request).await?)?;
    let mut parts = status.token.split('.').map(|part| {
        // The sentence of a decoder could quote the token.
        let decoded = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Claims>(&decoded).ok()
    });
    let header = parts.next().flatten().unwrap_or_default();
    let claims = parts.next().flatten().unwrap_or_default();
    Ok(Token {
        algorithm: header.alg,
        key_id: header.kid,
        issuer: claims.iss,
        subject: claims.sub,
        audiences: claims.aud,
        ..Token::default()
    })
}

async fn send(client: &Client, request: Request<Vec<u8>>) -> Result<String, ReadError> {
    match timeout(TIMEOUT, client.request_text(request)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ReadError::Timeout),
    }
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
struct Claims {
    alg: String,
    kid: String,
    iss: String,
    sub: String,
    aud: Vec<String>,
}

const TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest that the API server gives.
const LIFETIME_SECONDS: u32 = 600;
