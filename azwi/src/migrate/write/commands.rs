//! Commands of kubectl, which work when they are pasted, and the way back.

use std::fmt::Write;

use serde_json::{Value, json};
use webhook::inject::printable;

use super::super::BEFORE;
use super::super::inventory::workload::{Form, Workload};
use super::super::patch::with_nulls;
use super::super::plan::{Account, Move, Plan};
use super::manifest;
use crate::azure::write::quoted;

/// Service accounts first, then a line for each workload.
#[must_use]
pub fn forward(plan: &Plan) -> String {
    let mut out = String::from(SHELL);
    for account in used(plan) {
        for line in account_forward(account) {
            push(&mut out, &line);
        }
    }
    for it in &plan.moves {
        if it.can_move() {
            forward_one(&mut out, it);
        } else if !it.is_moved() {
            comment(&mut out, it);
        }
    }
    out
}

/// The workloads as they were, then the service accounts.
#[must_use]
pub fn back(plan: &Plan) -> String {
    let mut out = String::from(SHELL);
    for it in plan.moves.iter().filter(|it| it.can_move()) {
        match manifest::original(it) {
            Some(object) => push(&mut out, &replace(&object)),
            None => {
                let back = it.change.back(it.workload.form, &it.workload.template);
                let forget = json!({ "metadata": { "annotations": { BEFORE: null } } });
                push(&mut out, &patch(&it.workload, &with_nulls(&forget, &back)));
                push_restart(&mut out, it);
            }
        }
    }
    for account in used(plan).filter(|it| is_free(plan, it)) {
        for line in account_back(account) {
            push(&mut out, &line);
        }
    }
    out
}

/// The accounts of workloads that can move.
fn used(plan: &Plan) -> impl Iterator<Item = &Account> {
    plan.accounts.iter().filter(|account| {
        let mut moves = plan.moves.iter().filter(|it| it.can_move());
        moves.any(|it| account.users.contains(&it.workload.object))
    })
}

/// Whether no workload that stays moved uses an account.
fn is_free(plan: &Plan, account: &Account) -> bool {
    account.users.iter().all(|user| {
        let mut moves = plan.moves.iter().filter(|it| !it.is_moved());
        moves.any(|it| it.workload.object == *user)
    })
}

fn forward_one(out: &mut String, it: &Move) {
    if let Some(object) = manifest::remade(it) {
        push(out, &replace(&object));
        return;
    }
    let change = manifest::remembered(it);
    push(out, &patch(&it.workload, &change));
    push_restart(out, it);
}

/// Replaces the pods of a workload that does not do that itself.
fn push_restart(out: &mut String, it: &Move) {
    let pods: Vec<&str> = it.pods.iter().map(|it| it.object.name.as_str()).collect();
    if it.workload.form != Form::CronJob && !it.workload.rolls && !pods.is_empty() {
        let namespace = &it.workload.object.namespace;
        // By the time of the way back they have other names.
        push(
            out,
            &format!(
                "kubectl -n {namespace} delete pod --ignore-not-found {}",
                pods.join(" ")
            ),
        );
    }
}

fn patch(workload: &Workload, patch: &Value) -> String {
    format!(
        "kubectl patch {} --type merge --patch {}",
        argument(workload),
        quoted(&patch.to_string())
    )
}

/// A workload as an argument of kubectl. A custom kind is named with its group.
fn argument(workload: &Workload) -> String {
    let object = &workload.object;
    match workload.form {
        Form::Custom => {
            let group = workload.place.version.split('/').next().unwrap_or_default();
            format!(
                "-n {} {}.{group}/{}",
                object.namespace, workload.place.plural, object.name
            )
        }
        _ => object.argument(),
    }
}

/// An account that is there is annotated, not applied: that would change what `kubectl apply` remembers of it.
fn account_forward(account: &Account) -> Vec<String> {
    let objects = manifest::account(account);
    if account.is_new {
        return objects.iter().map(apply).collect();
    }
    let values = objects
        .iter()
        .filter_map(|it| it.pointer("/metadata/annotations")?.as_object());
    let pair = |(key, value): (&String, &Value)| {
        quoted(&format!("{key}={}", value.as_str().unwrap_or_default()))
    };
    let lines = values.map(|it| {
        let pairs: Vec<String> = it.iter().map(pair).collect();
        format!(
            "kubectl annotate --overwrite {} {}",
            account.object().argument(),
            pairs.join(" ")
        )
    });
    lines.collect()
}

fn account_back(account: &Account) -> Vec<String> {
    if account.is_done() {
        return Vec::new();
    }
    if account.is_new {
        let objects = manifest::account(account);
        let delete = |object: &Value| {
            let text = |path| object.pointer(path).and_then(Value::as_str);
            let place = text("/metadata/namespace").map(|it| format!("-n {it} "));
            format!(
                "kubectl delete --ignore-not-found {}{}/{}",
                place.unwrap_or_default(),
                text("/kind").unwrap_or_default().to_ascii_lowercase(),
                text("/metadata/name").unwrap_or_default()
            )
        };
        return objects.iter().map(delete).collect();
    }
    let values = account.before.iter().map(|(key, value)| match value {
        Some(value) => quoted(&format!("{key}={value}")),
        None => format!("{key}-"),
    });
    let forget = format!("{BEFORE}-");
    let values: Vec<String> = values.chain([forget]).collect();
    vec![format!(
        "kubectl annotate --overwrite {} {}",
        account.object().argument(),
        values.join(" ")
    )]
}

fn apply(object: &Value) -> String {
    format!(
        "printf %s {} | kubectl apply -f -",
        quoted(&object.to_string())
    )
}

fn replace(object: &Value) -> String {
    format!(
        "printf %s {} | kubectl replace --force -f -",
        quoted(&object.to_string())
    )
}

fn comment(out: &mut String, it: &Move) {
    for block in &it.blocks {
        let line = printable(&format!("{}: {}", it.workload.object, block.reason));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# blocked: {line}");
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

const SHELL: &str = "#!/bin/sh\nset -eu\n";
