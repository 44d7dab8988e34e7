//! Reads the facts from the API server, in pages.

pub(crate) mod accounts;
mod federation;
pub(crate) mod installation;
pub(crate) mod namespaces;
mod pods;
pub(crate) mod reader;
pub(crate) mod token;
pub(crate) mod workloads;

pub use federation::{Federation, federation};

use kube::Client;

use super::installation::Installation;
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
}

/// Reads the facts. What cannot be read is in [`Facts::gaps`].
pub async fn read(client: Client, scope: &Scope) -> Facts {
    let mut reader = Reader::new(client);
    let namespace = scope.namespace.as_deref();
    let mut facts = Facts {
        installation: installation::read(&mut reader).await,
        namespaces: namespaces::read(&mut reader, namespace).await,
        accounts: accounts::read(&mut reader, namespace).await,
        ..Facts::default()
    };
    let owners = workloads::read(&mut reader, namespace, &mut facts).await;
    pods::read(&mut reader, namespace, &owners, &mut facts).await;
    if let Some((kind, name)) = &scope.target {
        let wanted = |it: &Object| it.kind.eq_ignore_ascii_case(kind) && it.name == *name;
        focus(&mut facts, wanted);
        match facts.target.clone() {
            Some(_) => facts.token = token::read(&mut reader, &facts).await,
            None => reader.gaps.push(Gap {
                verb: "get",
                resource: format!("{kind}/{name}"),
                namespace: scope.namespace.clone(),
                is_forbidden: false,
                reason: "there is no such workload, and no pod that belongs to one".to_owned(),
            }),
        }
    }
    facts.gaps = reader.gaps;
    facts
}

/// Reads the installation alone. `None` when it could not be read.
pub async fn installation(client: Client) -> Option<Installation> {
    installation::read(&mut Reader::new(client)).await
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
