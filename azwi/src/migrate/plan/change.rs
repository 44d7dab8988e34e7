//! What a template gets: label, annotations, service account. Then the webhook's own code says whether the result
//! works.

use contract::{annotation, label};
use serde_json::value::RawValue;
use webhook::inject::Mode;

use super::{Block, Move};
use crate::checks::{self, Severity};
use crate::facts::template::Template;
use crate::migrate::inventory::Inventory;
use crate::migrate::inventory::template::PodTemplate;
use crate::migrate::inventory::workload::Form;
use crate::migrate::patch::{Change, merged};

/// Decides the change of a move, and what blocks it.
pub(super) fn decide(inventory: &Inventory, it: &mut Move) {
    if it.workload.form == Form::Operator {
        it.blocks.push(Block::new(
            format!("{} makes its pods itself, from fields that only its operator knows", it.workload.object),
            format!(
                "set by the operator's own fields: label {}: \"true\", annotation {}: \"true\", service account {}",
                label::USE,
                annotation::INJECT_PROXY_SIDECAR,
                it.account.1
            ),
        ));
    }
    if it.identities.is_empty() {
        return;
    }
    let change = change(inventory, it);
    note_rights(inventory, it);
    check(inventory, it, &change);
    it.change = change.without_present(&it.workload.template);
    if it.is_moved() {
        it.blocks.clear();
    }
}

fn change(inventory: &Inventory, it: &mut Move) -> Change {
    let template = &it.workload.template;
    let mut change = Change {
        service_account: Some(it.account.1.clone()),
        ..Change::default()
    };
    change
        .labels
        .insert(label::USE.to_owned(), "true".to_owned());
    let mut annotate = |key: &str, value: String| {
        change.annotations.insert(key.to_owned(), value);
    };
    annotate(annotation::INJECT_PROXY_SIDECAR, "true".to_owned());
    let refuses = refuses_redirect(inventory, it);
    let is_environment = refuses.is_some() || default_mode(inventory) == Mode::Environment;
    if let Some(reason) = refuses {
        annotate(annotation::PROXY_MODE, "environment".to_owned());
        it.notes.push(format!("{reason}: mode environment"));
    }
    let by_resource: Vec<&str> = template
        .containers()
        .filter(|container| container.mentions(&[RESOURCE_ID]))
        .map(|container| container.name())
        .collect();
    let skipped: Vec<&str> = if it.identities.len() > 1 {
        template
            .containers()
            .map(|container| container.name())
            .collect()
    } else {
        by_resource.clone()
    };
    if it.identities.len() > 1 || !by_resource.is_empty() {
        let map = it.identities.iter().filter_map(|identity| {
            let resource_id = identity.resource_id.as_ref()?;
            Some(format!(
                "{}={}",
                resource_id.to_ascii_lowercase(),
                identity.client_id
            ))
        });
        let map: Vec<String> = map.collect();
        if !map.is_empty() {
            annotate(annotation::IDENTITY_MAP, map.join(";"));
        }
        // A skipped container has no variables, so it would not find the proxy in mode environment.
        if !is_environment {
            annotate(annotation::SKIP_CONTAINERS, skipped.join(";"));
        }
    }
    if is_environment && asks_address(template) {
        it.blocks.push(Block::new(
            "a container asks 169.254.169.254 by its address, which mode environment does not redirect: it would get the \
             node's identity",
            "let the namespace admit NET_ADMIN, or set the program's own endpoint: docs/restricted-namespaces.md#what-containers-get",
        ));
    }
    change
}

/// Why the redirect cannot be used.
fn refuses_redirect(inventory: &Inventory, it: &Move) -> Option<String> {
    if it.workload.template.uses_host_network() {
        return Some("the pods use the node's network".to_owned());
    }
    let name = &it.workload.object.namespace;
    let level = inventory
        .facts
        .namespace(name)?
        .labels
        .get(label::POD_SECURITY_ENFORCE)?;
    ["baseline", "restricted"]
        .contains(&level.as_str())
        .then(|| format!("namespace {name} enforces {level}, which refuses the redirect"))
}

fn default_mode(inventory: &Inventory) -> Mode {
    let installation = inventory.facts.installation.as_ref();
    let settings = installation.and_then(|it| it.settings.as_ref());
    settings.map_or(Mode::Redirect, |it| it.sidecar.mode)
}

fn asks_address(template: &PodTemplate) -> bool {
    template
        .containers()
        .any(|it| it.mentions(&["169.254.169.254"]))
}

/// A new account has none of the rights of the one that it replaces.
fn note_rights(inventory: &Inventory, it: &mut Move) {
    let namespace = &it.workload.object.namespace;
    let current = it.workload.template.account();
    if current == it.account.1 {
        return;
    }
    let details = inventory
        .accounts
        .get(&(namespace.clone(), current.to_owned()));
    let grants = details.map(|it| it.grants.as_slice()).unwrap_or_default();
    let names: Vec<String> = grants.iter().map(|it| it.binding.to_string()).collect();
    if !names.is_empty() {
        it.notes.push(format!(
            "service account {} gets the rights of {current}, by {}",
            it.account.1,
            names.join(", ")
        ));
    }
}

/// What the webhook would say about the pods afterwards.
fn check(inventory: &Inventory, it: &mut Move, change: &Change) {
    let forward = change.forward(Form::Pod);
    let after = merged(&it.workload.template.0, &forward);
    let raw = RawValue::from_string(after.to_string());
    let Some(template) = raw.ok().and_then(|it| Template::read(&it, true).ok()) else {
        return;
    };
    for finding in checks::of_template(&inventory.facts, &it.workload.object, &template) {
        let cause = format!("{} {}", finding.code, finding.cause);
        match finding.code.severity() {
            Severity::Error => it.blocks.push(Block {
                reason: cause,
                fix: finding.fix.map(|it| it.to_string()),
            }),
            Severity::Warning => it.notes.push(cause),
            Severity::Information => {}
        }
    }
}

/// Part of a managed identity's resource id, in lower case.
const RESOURCE_ID: &str = "/providers/microsoft.managedidentity/userassignedidentities/";
