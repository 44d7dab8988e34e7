//! Commands of the Azure CLI. They work when they are pasted: only `<placeholders>` are left to fill in.

use serde_json::json;

use super::super::fix::quoted;
use super::Wanted;
use crate::azure::{FederatedCredential, Identity, Inventory, Owner, ResourceId};

/// Creates the federated credential that is needed.
pub(in crate::checks) fn create(
    identity: Option<&Identity>,
    client_id: &str,
    wanted: &Wanted<'_>,
) -> String {
    let name = name(&wanted.subject);
    match place(identity.and_then(|it| it.resource_id.as_deref()), identity) {
        Place::Application => {
            let parameters = parameters(Some(&name), wanted);
            format!(
                "az ad app federated-credential create --id {client_id} --parameters {parameters}"
            )
        }
        Place::Identity(place) => format!(
            "az identity federated-credential create {place} --name {name} {}",
            values(wanted)
        ),
    }
}

/// Gives a federated credential the values that are needed.
pub(super) fn update(
    credential: &FederatedCredential,
    identity: Option<&Identity>,
    client_id: &str,
    wanted: &Wanted<'_>,
) -> String {
    let name = quoted(&credential.name);
    match place(resource_of(credential), identity) {
        Place::Application => format!(
            "az ad app federated-credential update --id {client_id} --federated-credential-id {name} --parameters {}",
            parameters(None, wanted)
        ),
        Place::Identity(place) => format!(
            "az identity federated-credential update {place} --name {name} {}",
            values(wanted)
        ),
    }
}

/// Deletes a federated credential.
pub(super) fn delete(credential: &FederatedCredential, azure: &Inventory) -> String {
    let name = quoted(&credential.name);
    let application = match &credential.owner {
        Owner::Client(id) => azure.identity(id).filter(|it| it.resource_id.is_none()),
        _ => None,
    };
    match (
        place(resource_of(credential), application),
        &credential.owner,
    ) {
        (Place::Application, Owner::Client(id)) => {
            format!(
                "az ad app federated-credential delete --id {id} --federated-credential-id {name}"
            )
        }
        (Place::Application, _) => format!(
            "az ad app federated-credential delete --id <client id> --federated-credential-id {name}"
        ),
        (Place::Identity(place), _) => {
            format!("az identity federated-credential delete --yes {place} --name {name}")
        }
    }
}

/// Where a federated credential is.
enum Place {
    Application,
    Identity(String),
}

fn resource_of(credential: &FederatedCredential) -> Option<&str> {
    match &credential.owner {
        Owner::Resource(id) => Some(id),
        _ => None,
    }
}

fn place(resource_id: Option<&str>, identity: Option<&Identity>) -> Place {
    let resource_id = resource_id.or_else(|| identity?.resource_id.as_deref());
    let parsed = resource_id.and_then(ResourceId::parse);
    match (parsed, identity) {
        (Some(it), _) => Place::Identity(format!(
            "--subscription {} --resource-group {} --identity-name {}",
            quoted(it.subscription),
            quoted(it.group),
            quoted(it.name)
        )),
        // az writes no resource id for an application.
        (None, Some(_)) => Place::Application,
        (None, None) => {
            Place::Identity("--resource-group <group> --identity-name <identity>".to_owned())
        }
    }
}

fn values(wanted: &Wanted<'_>) -> String {
    format!(
        "--issuer {} --subject {} --audiences {}",
        quoted(wanted.issuer),
        quoted(&wanted.subject),
        quoted(wanted.audience)
    )
}

fn parameters(name: Option<&str>, wanted: &Wanted<'_>) -> String {
    let (issuer, subject, audiences) = (wanted.issuer, &wanted.subject, [wanted.audience]);
    let parameters = match name {
        Some(name) => {
            json!({ "name": name, "issuer": issuer, "subject": subject, "audiences": audiences })
        }
        None => json!({ "issuer": issuer, "subject": subject, "audiences": audiences }),
    };
    quoted(&parameters.to_string())
}

/// A name that Azure accepts: letters, digits, hyphens and underscores.
fn name(subject: &str) -> String {
    let parts: Vec<&str> = subject.split(':').skip(2).collect();
    parts.join("-").replace('.', "-")
}
