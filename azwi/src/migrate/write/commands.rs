//! Commands of kubectl, which work when they are pasted, and the way back.

use serde_json::{Value, json};

use super::super::BEFORE;
use super::super::inventory::workload::{Form, Workload};
use super::super::patch::with_nulls;
use super::super::plan::{Account, Move, Plan};
use super::manifest;
use crate::command::{Command, Script};
use crate::facts::object::Object;

/// Service accounts first, then a line for each workload.
#[must_use]
pub fn forward(plan: &Plan) -> Script {
    let mut out = Script::strict();
    for account in used(plan) {
        for command in account_forward(account) {
            out.push(&command);
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
pub fn back(plan: &Plan) -> Script {
    let mut out = Script::strict();
    for it in plan.moves.iter().filter(|it| it.can_move()) {
        match manifest::original(it) {
            Some(object) => out.push(&replace(&object)),
            None => {
                let back = it.change.back(it.workload.form, &it.workload.template);
                let forget = json!({ "metadata": { "annotations": { BEFORE: null } } });
                out.push(&patch(&it.workload, &with_nulls(&forget, &back)));
                push_restart(&mut out, it);
            }
        }
    }
    for account in used(plan).filter(|it| is_free(plan, it)) {
        for command in account_back(account) {
            out.push(&command);
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

fn forward_one(out: &mut Script, it: &Move) {
    if let Some(object) = manifest::remade(it) {
        out.push(&replace(&object));
        return;
    }
    let change = manifest::remembered(it);
    out.push(&patch(&it.workload, &change));
    push_restart(out, it);
}

/// Replaces the pods of a workload that does not do that itself.
fn push_restart(out: &mut Script, it: &Move) {
    if it.workload.form != Form::CronJob && !it.workload.rolls && !it.pods.is_empty() {
        let command = Command::new("kubectl -n").arg(&it.workload.object.namespace);
        // By the time of the way back they have other names.
        let command = command.text("delete pod --ignore-not-found");
        let pods = it.pods.iter().map(|it| &it.object.name);
        out.push(&pods.fold(command, |command, it| command.operand(it)));
    }
}

fn patch(workload: &Workload, patch: &Value) -> Command {
    let command = named(workload, Command::new("kubectl patch"));
    command.text("--type merge --patch").json(patch)
}

/// Adds a workload to a command of kubectl. A custom kind is named with its group.
fn named(workload: &Workload, command: Command) -> Command {
    let object = &workload.object;
    match workload.form {
        Form::Custom => {
            let group = workload.place.version.split('/').next().unwrap_or_default();
            object.named_as(&format!("{}.{group}", workload.place.plural), command)
        }
        _ => object.named_in(command),
    }
}

/// An account that is there is annotated, not applied: that would change what `kubectl apply` remembers of it.
fn account_forward(account: &Account) -> Vec<Command> {
    let objects = manifest::account(account);
    if account.is_new {
        return objects.iter().map(apply).collect();
    }
    let values = objects
        .iter()
        .filter_map(|it| it.pointer("/metadata/annotations")?.as_object());
    let lines = values.map(|it| {
        let pairs = it.iter();
        let pairs =
            pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        annotate(account, pairs)
    });
    lines.collect()
}

fn account_back(account: &Account) -> Vec<Command> {
    if account.is_done() {
        return Vec::new();
    }
    if account.is_new {
        return manifest::account(account).iter().map(delete).collect();
    }
    let values = account.before.iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key}-"),
    });
    let forget = format!("{BEFORE}-");
    vec![annotate(account, values.chain([forget]))]
}

fn annotate(account: &Account, values: impl Iterator<Item = String>) -> Command {
    let command = Command::new("kubectl annotate --overwrite");
    account.object().named_in(command).args(values)
}

fn delete(object: &Value) -> Command {
    let text = |path| object.pointer(path).and_then(Value::as_str);
    let object = Object::new(
        text("/kind").unwrap_or_default(),
        text("/metadata/namespace").unwrap_or_default(),
        text("/metadata/name").unwrap_or_default(),
    );
    object.named_in(Command::new("kubectl delete --ignore-not-found"))
}

fn apply(object: &Value) -> Command {
    print(object).pipe(&Command::new("kubectl apply -f -"))
}

fn replace(object: &Value) -> Command {
    print(object).pipe(&Command::new("kubectl replace --force -f -"))
}

fn print(object: &Value) -> Command {
    Command::new("printf %s").json(object)
}

fn comment(out: &mut Script, it: &Move) {
    for block in &it.blocks {
        out.comment(&format!(
            "blocked: {}: {}",
            it.workload.object, block.reason
        ));
    }
}
