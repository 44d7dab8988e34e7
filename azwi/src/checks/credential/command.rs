//! Commands of the Azure CLI. They work when they are pasted: only `<placeholders>` are left to fill in.

use serde_json::{Value, json};

use super::Wanted;
use crate::azure::{FederatedCredential, Identity, Inventory, Owner, ResourceId};
use crate::command::Command;

/// Creates the federated credential that is needed.
pub(in crate::checks) fn create(
    identity: Option<&Identity>,
    client_id: &str,
    wanted: &Wanted<'_>,
) -> Command {
    let name = name(&wanted.subject);
    let place = place(identity.and_then(|it| it.resource_id.as_deref()), identity);
    if let Place::Application = place {
        return Command::new("az ad app federated-credential create --id")
            .arg(client_id)
            .text("--parameters")
            .json(&parameters(Some(&name), wanted));
    }
    let command = place.named_in(Command::new("az identity federated-credential create"));
    values(command.text("--name").arg(&name), wanted)
}

/// Gives a federated credential the values that are needed.
pub(super) fn update(
    credential: &FederatedCredential,
    identity: Option<&Identity>,
    client_id: &str,
    wanted: &Wanted<'_>,
) -> Command {
    let place = place(resource_of(credential), identity);
    if let Place::Application = place {
        return Command::new("az ad app federated-credential update --id")
            .arg(client_id)
            .text("--federated-credential-id")
            .arg(&credential.name)
            .text("--parameters")
            .json(&parameters(None, wanted));
    }
    let command = place.named_in(Command::new("az identity federated-credential update"));
    values(command.text("--name").arg(&credential.name), wanted)
}

/// Deletes a federated credential.
pub(super) fn delete(credential: &FederatedCredential, azure: &Inventory) -> Command {
    let application = match &credential.owner {
        Owner::Client(id) => azure.identity(id).filter(|it| it.resource_id.is_none()),
        _ => None,
    };
    let place = place(resource_of(credential), application);
    if let Place::Application = place {
        let delete = Command::new("az ad app federated-credential delete --id");
        let delete = match &credential.owner {
            Owner::Client(id) => delete.arg(id),
            _ => delete.text("<client id>"),
        };
        return delete
            .text("--federated-credential-id")
            .arg(&credential.name);
    }
    let command = Command::new("az identity federated-credential delete --yes");
    place.named_in(command).text("--name").arg(&credential.name)
}

/// Where a federated credential is.
enum Place<'a> {
    Application,
    Identity(ResourceId<'a>),
    /// An identity whose resource id is not known.
    Unknown,
}

impl Place<'_> {
    /// Adds the options that name a managed identity.
    fn named_in(&self, command: Command) -> Command {
        match self {
            Self::Identity(it) => command
                .text("--subscription")
                .arg(it.subscription)
                .text("--resource-group")
                .arg(it.group)
                .text("--identity-name")
                .arg(it.name),
            Self::Application | Self::Unknown => {
                command.text("--resource-group <group> --identity-name <identity>")
            }
        }
    }
}

fn resource_of(credential: &FederatedCredential) -> Option<&str> {
    match &credential.owner {
        Owner::Resource(id) => Some(id),
        _ => None,
    }
}

fn place<'a>(resource_id: Option<&'a str>, identity: Option<&'a Identity>) -> Place<'a> {
    let resource_id = resource_id.or_else(|| identity?.resource_id.as_deref());
    let parsed = resource_id.and_then(ResourceId::parse);
    match (parsed, identity) {
        (Some(it), _) => Place::Identity(it),
        // az writes no resource id for an application.
        (None, Some(_)) => Place::Application,
        (None, None) => Place::Unknown,
    }
}

fn values(command: Command, wanted: &Wanted<'_>) -> Command {
    command
        .text("--issuer")
        .arg(wanted.issuer)
        .text("--subject")
        .arg(&wanted.subject)
        .text("--audiences")
        .arg(wanted.audience)
}

fn parameters(name: Option<&str>, wanted: &Wanted<'_>) -> Value {
    let (issuer, subject, audiences) = (wanted.issuer, &wanted.subject, [wanted.audience]);
    match name {
        Some(name) => {
            json!({ "name": name, "issuer": issuer, "subject": subject, "audiences": audiences })
        }
        None => json!({ "issuer": issuer, "subject": subject, "audiences": audiences }),
    }
}

/// A name that Azure accepts: letters, digits, hyphens and underscores.
fn name(subject: &str) -> String {
    let parts: Vec<&str> = subject.split(':').skip(2).collect();
    parts.join("-").replace('.', "-")
}
