//! Reads the facts from the API server, in pages.

pub(crate) mod accounts;
mod dry_run;
mod exchange;
mod federation;
pub(crate) mod installation;
pub(crate) mod issuer;
pub(crate) mod namespaces;
mod network;
pub(crate) mod operators;
mod outside;
mod pods;
mod preparation;
mod published;
pub(crate) mod reader;
pub(crate) mod token;
mod token_file;
mod version;
pub(crate) mod workloads;

pub use federation::{Federation, federation};

pub use exchange::Wanted;
pub use installation::REPOSITORY;
pub use issuer::{Read, discovery_document, issuer, key_set};
pub use reader::ReadError;

use std::ffi::OsString;

use kube::Client;

use super::installation::Installation;
use super::issuer::{Issuer, is_public};
use super::object::Object;
use super::{Facts, Gap};
use reader::Reader;

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// One namespace, `None` for all.
    pub namespace: Option<String>,
    /// One workload, by its kind in singular and lower case, and its name.
    pub target: Option<(String, String)>,
    /// Whether a pod is created as a dry run.
    pub dry_run: bool,
    /// The exchange of the one workload's token, `None` for none.
    pub exchange: Option<Wanted>,
    /// Whether the token files of the one workload's containers are read, with these arguments of kubectl for the cluster.
    pub exec: Option<Vec<OsString>>,
    /// Whether the issuer's documents are read from the issuer itself, for the one workload.
    pub published: bool,
    /// The repository of the images to come, to read what matters before an installation instead of the installation's
    /// own dry run.
    pub preparation: Option<String>,
    /// Whether the issuer of the cluster's tokens is needed.
    pub issuer: bool,
}

/// Reads the facts. What cannot be read is in [`Facts::gaps`].
pub async fn read(client: Client, scope: &Scope) -> Facts {
    let mut reader = Reader::new(client);
    let namespace = scope.namespace.as_deref();
    let mut facts = Facts {
        installation: installation::read(&mut reader).await,
        namespaces: namespaces::read(&mut reader, namespace).await,
        accounts: accounts::read(&mut reader, namespace).await,
        policies: network::read(&mut reader, namespace).await,
        ..Facts::default()
    };
    let owners = workloads::read(&mut reader, namespace, &mut facts).await;
    pods::read(&mut reader, namespace, &owners, &mut facts).await;
    if let Some((kind, name)) = &scope.target {
        let wanted = |it: &Object| it.kind.eq_ignore_ascii_case(kind) && it.name == *name;
        focus(&mut facts, wanted);
        match facts.target.clone() {
            Some(_) => {
                read_token(&mut reader, &mut facts, scope).await;
                if let Some(connection) = &scope.exec {
                    facts.token_files = token_file::read(&mut reader, &facts, connection).await;
                }
            }
            None => reader.gaps.push(Gap {
                verb: "get",
                resource: format!("{kind}/{name}"),
                namespace: scope.namespace.clone(),
                is_forbidden: false,
                reason: "there is no such workload, and no pod that belongs to one".to_owned(),
            }),
        }
    }
    if scope.issuer && facts.issuer.is_none() {
        let discovery = issuer::discovery(&mut reader).await;
        facts.issuer = discovery.map(|it| Issuer {
            url: it.issuer.clone(),
            discovery: Some(it),
            ..Issuer::default()
        });
    }
    if let Some(repository) = &scope.preparation {
        let version = version::read(&mut reader).await;
        if let Some(installation) = &mut facts.installation {
            installation.settings = installation::default_settings(repository, version.as_ref());
        }
        let read = preparation::read(&mut reader, &facts, version.as_ref(), scope.dry_run).await;
        facts.preparation = Some(read);
    } else if scope.dry_run {
        facts.dry_run = dry_run::read(&mut reader, &facts).await;
    }
    facts.operators = operators::read(&mut reader, namespace).await;
    facts.scope = scope.namespace.clone();
    facts.gaps = reader.gaps;
    facts
}

/// Reads the installation alone. `None` when it could not be read.
pub async fn installation(client: Client) -> Option<Installation> {
    installation::read(&mut Reader::new(client)).await
}

/// Reads the target's token, exchanges it where that is wanted, and reads its issuer's documents where no
/// exchange shows that Entra reads them.
async fn read_token(reader: &mut Reader, facts: &mut Facts, scope: &Scope) {
    let Some((token, assertion)) = token::read(reader, facts).await else {
        return;
    };
    let mut issuer = issuer::of_token(reader, &token).await;
    facts.token = Some(token);
    if let Some(wanted) = &scope.exchange {
        facts.exchange = exchange::read(reader, facts, &assertion, wanted).await;
    }
    let is_granted = facts
        .exchange
        .as_ref()
        .is_some_and(|it| it.granted().is_some());
    if !is_granted && scope.published && is_public(&issuer.url) {
        issuer.published = published::read(reader, &issuer.url).await;
    }
    facts.issuer = Some(issuer);
}

/// Keeps one workload and its pods.
fn focus(facts: &mut Facts, wanted: impl Fn(&Object) -> bool) {
    facts.workloads.retain(|it| wanted(&it.object));
    facts.pods.retain(|pod| match &pod.owner {
        Some(owner) => wanted(owner),
        None => wanted(&pod.object),
    });
    let workload = facts.workloads.first().map(|it| it.object.clone());
    let pod = facts.pods.first();
    let of_pod = pod.map(|it| it.owner.as_ref().unwrap_or(&it.object).clone());
    facts.target = workload.or(of_pod);
}
