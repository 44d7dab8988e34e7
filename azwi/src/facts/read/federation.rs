//! Reads what federated credentials are made of: service accounts, issuer, audience.

use std::collections::BTreeMap;

use kube::Client;

use super::reader::Reader;
use super::{accounts, installation, issuer};
use crate::facts::Gap;
use crate::facts::account::Account;

/// What federated credentials are made of.
#[derive(Debug)]
pub struct Federation {
    /// Service accounts by namespace and name. `None` when they could not be read.
    pub accounts: Option<BTreeMap<(String, String), Account>>,
    /// The issuer of the cluster's discovery document. `None` when it was not needed or could not be read.
    pub issuer: Option<String>,
    /// The audience of the webhook's tokens. `None` when its settings could not be read.
    pub audience: Option<String>,
    /// What could not be read, with the reason.
    pub gaps: Vec<Gap>,
}

/// Reads the service accounts of one namespace or all, and the issuer where that is needed.
pub async fn federation(client: Client, namespace: Option<&str>, needs_issuer: bool) -> Federation {
    let mut reader = Reader::new(client);
    let installation = installation::read(&mut reader).await;
    let settings = installation.and_then(|it| it.settings);
    // Without them, the audience is the default.
    reader.gaps.clear();
    let accounts = accounts::read(&mut reader, namespace).await;
    let issuer = if needs_issuer {
        issuer::discovery(&mut reader).await.map(|it| it.issuer)
    } else {
        None
    };
    Federation {
        accounts,
        issuer,
        audience: settings.map(|it| it.audience.clone()),
        gaps: reader.gaps,
    }
}
