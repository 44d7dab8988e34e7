//! What of pod-managed identity can be removed, and what not yet.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Progress, State};
use crate::command::Command;
use crate::facts::object::Object;
use crate::migrate::inventory::Inventory;
use crate::migrate::inventory::pod_identity::Binding;
use crate::migrate::plan::Plan;

/// An object of pod-managed identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Its name.
    pub object: Object,
    /// Who needs it still. Empty when it can be removed.
    pub users: Vec<String>,
    /// The command that removes it.
    pub command: Command,
}

/// Bindings, then identities, then exceptions, then NMI and MIC: in the order in which they can go.
#[must_use]
pub fn removals(inventory: &Inventory, plan: &Plan, progress: &[Progress]) -> Vec<Removal> {
    let objects = &inventory.pod_identity;
    let done: BTreeSet<&Object> = progress
        .iter()
        .filter(|it| it.state == State::Done)
        .map(|it| &it.object)
        .collect();
    let bindings: Vec<(&Binding, Vec<String>)> = objects
        .bindings
        .iter()
        .map(|it| (it, users(inventory, plan, &done, it)))
        .collect();
    let of_bindings = bindings
        .iter()
        .map(|(it, users)| removal(&it.object, users.clone()));
    let of_identities = objects.identities.iter().map(|identity| {
        let own = bindings.iter().filter(|(it, users)| {
            !users.is_empty()
                && it.object.namespace == identity.object.namespace
                && it.identity == identity.object.name
        });
        removal(
            &identity.object,
            own.map(|(it, _)| it.object.to_string()).collect(),
        )
    });
    let mut all: Vec<Removal> = of_bindings.chain(of_identities).collect();
    let open = open(inventory, plan, &done);
    let exceptions = objects.exceptions.iter().map(|it| &it.object);
    let components = objects.components.iter().map(|it| &it.object);
    all.extend(
        exceptions
            .chain(components)
            .map(|it| removal(it, open.clone())),
    );
    all
}

/// The workloads and pods that get their identity by a binding.
fn users(
    inventory: &Inventory,
    plan: &Plan,
    done: &BTreeSet<&Object>,
    binding: &Binding,
) -> Vec<String> {
    let is_selected = |namespace: &str, selector: Option<&str>| {
        let selected = selector.map(|it| inventory.pod_identity.selected(namespace, it));
        selected.is_some_and(|it| it.iter().any(|it| it.binding == binding))
    };
    let moves = plan.moves.iter().filter(|it| {
        let template = &it.workload.template;
        let object = &it.workload.object;
        !done.contains(object) && is_selected(&object.namespace, template.selector())
    });
    let mut users: BTreeSet<String> = moves.map(|it| it.workload.object.to_string()).collect();
    let pods = inventory.pods.iter().filter(|it| {
        let object = &it.object;
        let is_left = plan.left.iter().any(|left| left.object == it.owner);
        !is_left && !it.template.has_proxy && is_selected(&object.namespace, it.selector.as_deref())
    });
    users.extend(pods.map(|it| it.owner.to_string()));
    users.into_iter().collect()
}

/// Everything that NMI answers still.
fn open(inventory: &Inventory, plan: &Plan, done: &BTreeSet<&Object>) -> Vec<String> {
    let moves = plan.moves.iter().map(|it| &it.workload.object);
    let mut open: BTreeSet<String> = moves
        .filter(|it| !done.contains(it))
        .map(ToString::to_string)
        .collect();
    let pods = inventory.pods.iter();
    let pods = pods.filter(|it| it.selector.is_some() && !it.template.has_proxy);
    let left: BTreeSet<&Object> = plan.left.iter().map(|it| &it.object).collect();
    open.extend(
        pods.filter(|it| !left.contains(&it.owner))
            .map(|it| it.owner.to_string()),
    );
    open.into_iter().collect()
}

fn removal(object: &Object, users: Vec<String>) -> Removal {
    Removal {
        object: object.clone(),
        users,
        command: object.named_in(Command::new("kubectl delete")),
    }
}
