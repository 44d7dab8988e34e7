//! Reads the issuer of the cluster's tokens.

use contract::token::DEFAULT_AUDIENCE;
use kube::Client;

use super::reader::{ReadError, Reader};
use super::{published, token};
use crate::facts::Gap;
use crate::facts::issuer::{DISCOVERY_PATH, Discovery, Issuer, KEYS_PATH};
use crate::facts::key_set::KeySet;
use crate::facts::token::Token;

/// What [`issuer`] found.
#[derive(Debug, Default)]
pub struct Read {
    /// The issuer, `None` when it is not known.
    pub issuer: Option<Issuer>,
    /// A token of the service account, without the token itself.
    pub token: Option<Token>,
    /// What could not be read, with the reason.
    pub gaps: Vec<Gap>,
}

/// Reads the documents of this issuer, or of that of a new token or of the API server's discovery document; and a
/// token of a service account.
pub async fn issuer(client: Client, url: Option<String>, namespace: &str, account: &str) -> Read {
    let mut reader = Reader::new(client);
    let token = token::claims(&mut reader, namespace, account, DEFAULT_AUDIENCE).await;
    let token = token.map(|(token, _)| token);
    let discovery = discovery(&mut reader).await;
    let keys = keys(&mut reader).await;
    let of_token = token.as_ref().map(|it| it.issuer.clone());
    let of_document = discovery.as_ref().map(|it| it.issuer.clone());
    let issuer = match url.or(of_token).or(of_document) {
        Some(url) => Some(Issuer {
            published: published::read(&mut reader, &url).await,
            url,
            discovery,
            keys,
        }),
        None => None,
    };
    Read {
        issuer,
        token,
        gaps: reader.gaps,
    }
}

/// The issuer of a token, as the API server has it.
pub(crate) async fn of_token(reader: &mut Reader, token: &Token) -> Issuer {
    Issuer {
        url: token.issuer.clone(),
        discovery: discovery(reader).await,
        keys: keys(reader).await,
        published: None,
    }
}

/// The API server's discovery document.
pub(super) async fn discovery(reader: &mut Reader) -> Option<Discovery> {
    reader.json(&format!("/{DISCOVERY_PATH}")).await
}

async fn keys(reader: &mut Reader) -> Option<KeySet> {
    reader.json(&format!("/{KEYS_PATH}")).await
}

/// The API server's discovery document, for a caller that needs nothing else.
///
/// # Errors
///
/// When it cannot be read.
pub async fn discovery_document(client: Client) -> Result<Discovery, ReadError> {
    Reader::new(client)
        .parsed(&format!("/{DISCOVERY_PATH}"))
        .await
}

/// The API server's key set, for a caller that needs nothing else.
///
/// # Errors
///
/// When it cannot be read.
pub async fn key_set(client: Client) -> Result<KeySet, ReadError> {
    Reader::new(client).parsed(&format!("/{KEYS_PATH}")).await
}
