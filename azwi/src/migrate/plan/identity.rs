//! Which identities a workload has today, and how sure that is.

use std::collections::BTreeSet;

use contract::value::is_guid;
use serde::Serialize;

use super::{Block, Left, Move};
use crate::azure;
use crate::command::Command;
use crate::facts::object::Object;
use crate::migrate::inventory::Inventory;
use crate::migrate::inventory::pod_identity::{
    AzureIdentity, BINDING_LABEL, IdentityKind, Selected,
};
use crate::migrate::inventory::workload::Workload;

/// An identity of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Its name in Azure, or that of the AzureIdentity.
    pub name: String,
    /// The client id.
    pub client_id: String,
    /// The resource id of a managed identity, `None` for an application.
    pub resource_id: Option<String>,
    /// The tenant, where the AzureIdentity names one.
    pub tenant_id: Option<String>,
    /// The AzureIdentity.
    pub source: Object,
}

impl Identity {
    /// Whether a client id is that of a second identity beside this one: `shop-2` beside `shop`, in
    /// the same resource group.
    pub(super) fn has_spare(&self, azure: Option<&azure::Inventory>, client_id: &str) -> bool {
        let spare = azure.and_then(|it| it.identity(client_id));
        let ids = spare
            .and_then(|it| it.resource_id.as_deref())
            .zip(self.resource_id.as_deref());
        ids.is_some_and(|(spare, own)| {
            let (spare, own) = (spare.to_ascii_lowercase(), own.to_ascii_lowercase());
            let number = spare.strip_prefix(&own).and_then(|it| it.strip_prefix('-'));
            number.is_some_and(|it| it.parse::<u8>().is_ok_and(|it| it > 1))
        })
    }
}

/// How sure the identity that answers requests that name none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sureness {
    /// Nothing else is possible.
    #[default]
    Certain,
    /// What pod-managed identity does by its documentation.
    Likely,
    /// NMI chose one of several.
    Unclear,
}

impl Sureness {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Unclear => "unclear",
        }
    }
}

/// What a workload is for a migration.
pub(super) enum Found {
    Move(Box<Move>),
    Left(Left),
    /// It does not use pod-managed identity.
    Unrelated,
}

/// Finds the identities of a workload.
pub(super) fn find(
    inventory: &Inventory,
    azure: Option<&azure::Inventory>,
    workload: &Workload,
) -> Found {
    let object = &workload.object;
    let labels = workload.template.labels();
    let Some(selector) = workload.template.selector() else {
        return without_selector(inventory, workload);
    };
    if let Some(exception) = inventory.pod_identity.exception(&object.namespace, &labels) {
        return Found::Left(Left {
            object: object.clone(),
            reason: format!(
                "{} takes its pods past NMI: they ask the node's metadata service, and go on to",
                exception.object
            ),
        });
    }
    let mut found = Move {
        workload: workload.clone(),
        ..Move::default()
    };
    let selected = inventory.pod_identity.selected(&object.namespace, selector);
    if selected.is_empty() {
        found.blocks.push(Block::new(
            format!("no AzureIdentityBinding selects label {BINDING_LABEL}: {selector}"),
            "remove the label, if the pods use no identity; else make the binding that they lack",
        ));
        return Found::Move(Box::new(found));
    }
    collect(&mut found, &selected, azure);
    order(&mut found, &selected);
    confirm(inventory, &mut found);
    Found::Move(Box::new(found))
}

fn without_selector(inventory: &Inventory, workload: &Workload) -> Found {
    let template = &workload.template;
    let asks = template.containers().any(|it| it.mentions(&TOKEN_PATHS));
    if !asks || template.label(contract::label::USE) == Some("true") {
        return Found::Unrelated;
    }
    let namespace = &workload.object.namespace;
    let reason = match inventory.pod_identity.exception(namespace, &template.labels()) {
        Some(it) => format!("{} takes its pods past NMI", it.object),
        None => "it names the token endpoint of the node's metadata service, and no AzureIdentityBinding selects it: it \
                 gets the node's identity, or none. To give it one of its own: docs/first-workload.md"
            .to_owned(),
    };
    Found::Left(Left {
        object: workload.object.clone(),
        reason,
    })
}

/// Adds the identities of the bindings, the first one first.
fn collect(found: &mut Move, selected: &[Selected<'_>], azure: Option<&azure::Inventory>) {
    for it in selected {
        let Some(identity) = it.identity else {
            let reason = format!(
                "{} names AzureIdentity {}/{}, which does not exist",
                it.binding.object, it.binding.object.namespace, it.binding.identity
            );
            found.blocks.push(Block::new(
                reason,
                it.binding
                    .object
                    .named_in(Command::new("kubectl delete"))
                    .to_string(),
            ));
            continue;
        };
        match read(identity, azure) {
            Ok(identity) => {
                let known = found.identities.iter();
                let mut known = known.map(|it| it.client_id.as_str());
                if !known.any(|it| it.eq_ignore_ascii_case(&identity.client_id)) {
                    found.identities.push(identity);
                }
            }
            Err(block) => found.blocks.push(block),
        }
        if identity.kind != IdentityKind::Managed {
            found.notes.push(format!(
                "{} is a service principal: the application gets a federated credential, and its secret can be removed \
                 afterwards",
                identity.object
            ));
        }
    }
}

fn read(identity: &AzureIdentity, azure: Option<&azure::Inventory>) -> Result<Identity, Block> {
    if let IdentityKind::Unknown(kind) = identity.kind {
        return Err(Block::new(
            format!("{} has the unknown type {kind}", identity.object),
            "types are 0 (managed identity), 1 and 2 (service principal)",
        ));
    }
    let resource_id = identity.resource_id.as_deref();
    let in_azure = azure.and_then(|it| {
        let mut all = it.identities.iter();
        all.find(|it| {
            let own = it.resource_id.as_deref();
            own.zip(resource_id)
                .is_some_and(|(own, wanted)| own.eq_ignore_ascii_case(wanted))
        })
    });
    let by_id = azure.and_then(|it| it.identity(&identity.client_id));
    let client_id = in_azure.map_or(identity.client_id.as_str(), |it| it.client_id.as_str());
    if !is_guid(client_id) {
        let show = Command::new("az identity show --ids");
        let show = match resource_id {
            Some(id) => show.operand(id),
            None => show.text("<resource id>"),
        };
        let show = show.text("--query clientId");
        return Err(Block::new(
            format!("{} has no client id", identity.object),
            format!("{show}, or give the plan --credentials"),
        ));
    }
    let of_resource = resource_id.and_then(|it| it.rsplit('/').next());
    let name = by_id.map(|it| it.name.as_str()).or(of_resource);
    Ok(Identity {
        name: name.unwrap_or(&identity.object.name).to_owned(),
        client_id: client_id.to_owned(),
        resource_id: resource_id
            .or_else(|| by_id?.resource_id.as_deref())
            .map(str::to_owned),
        tenant_id: identity.tenant_id.clone(),
        source: identity.object.clone(),
    })
}

/// Decides which identity answers requests that name none.
fn order(found: &mut Move, selected: &[Selected<'_>]) {
    let own: BTreeSet<&str> = found
        .workload
        .template
        .containers()
        .filter_map(|it| it.client_id())
        .collect();
    if found.identities.len() < 2 {
        if selected.iter().any(|it| it.is_foreign) {
            found.sureness = Sureness::Likely;
            found.notes.push(
                "the binding is in another namespace: NMI, which is not there, may not have counted it".to_owned(),
            );
        }
        return;
    }
    let named = |it: &Identity| {
        own.iter()
            .any(|own| own.eq_ignore_ascii_case(&it.client_id))
    };
    if let Some(position) = found.identities.iter().position(named) {
        let first = found.identities.remove(position);
        found.identities.insert(0, first);
        return;
    }
    let mut weights = selected.iter().map(|it| it.binding.weight);
    let is_heavier = weights.next() != weights.next();
    let names = found.identities.iter().map(|it| it.name.as_str());
    let names: Vec<&str> = names.collect();
    let names = names.join(", ");
    found.sureness = if is_heavier {
        Sureness::Likely
    } else {
        Sureness::Unclear
    };
    found.notes.push(format!(
        "several identities ({names}): requests that name none get the first{}",
        if is_heavier {
            ", whose binding has the most weight"
        } else {
            "; their bindings have the same weight, and NMI chose one of them"
        }
    ));
}

/// What MIC assigned is certain.
fn confirm(inventory: &Inventory, found: &mut Move) {
    let [identity] = found.identities.as_slice() else {
        return;
    };
    let source = (
        identity.source.namespace.clone(),
        identity.source.name.clone(),
    );
    let owner = &found.workload.object;
    let mut pods = inventory.pods.iter().filter(|it| it.owner == *owner);
    let assigned = &inventory.pod_identity.assigned;
    if pods.any(|pod| {
        assigned
            .iter()
            .any(|it| it.pod == pod.object && it.identity == source)
    }) {
        found.sureness = Sureness::Certain;
        found.notes.clear();
    }
}

/// Texts of programs that ask the node's metadata service for tokens.
const TOKEN_PATHS: [&str; 1] = ["169.254.169.254/metadata/identity"];
