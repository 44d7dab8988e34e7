//! How far a migration is, and what of pod-managed identity can be removed. No I/O, no clock.

pub mod logs;
mod removal;

pub use removal::{Removal, removals};

use std::collections::BTreeMap;

use contract::annotation;
use serde::Serialize;

use super::inventory::workload::{Form, Pod};
use super::plan::{Move, Plan};
use crate::azure::plan::subject;
use crate::command::Command;
use crate::facts::object::Object;
use logs::Log;

/// How far a workload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Something has to be fixed first.
    #[default]
    Blocked,
    /// It can move.
    Ready,
    /// It has moved, and something is not there yet.
    Waiting,
    /// Its pods get their tokens from the proxy.
    Done,
}

impl State {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "to move",
            Self::Waiting => "waiting",
            Self::Done => "done",
        }
    }
}

/// A workload and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Its name.
    pub object: Object,
    /// How far it is.
    pub state: State,
    /// Why it is not done, or what is only worth knowing.
    pub reason: Option<String>,
    /// The command that helps.
    pub fix: Option<String>,
}

/// How far every workload is. `logs` are those of one proxy of each, by its pod.
#[must_use]
pub fn status(plan: &Plan, logs: &BTreeMap<Object, Log>) -> Vec<Progress> {
    let moves = plan.moves.iter();
    moves.map(|it| progress(plan, it, logs)).collect()
}

fn progress(plan: &Plan, it: &Move, logs: &BTreeMap<Object, Log>) -> Progress {
    let progress = |state, reason: Option<String>, fix: Option<String>| Progress {
        object: it.workload.object.clone(),
        state,
        reason,
        fix,
    };
    if !it.is_moved() {
        let of_plan = plan
            .findings
            .first()
            .map(|it| (it.cause.clone(), it.fix.as_ref().map(Command::to_string)));
        let block = it
            .blocks
            .first()
            .map(|it| (it.reason.clone(), it.fix.clone()));
        return match block.or(of_plan) {
            Some((reason, fix)) => progress(State::Blocked, Some(reason), fix),
            None => progress(State::Ready, None, None),
        };
    }
    match waiting(plan, it, logs) {
        Some((reason, fix)) => progress(State::Waiting, Some(reason), fix),
        None => progress(State::Done, silent(it, logs), None),
    }
}

/// What a workload that has moved lacks, and the command that helps.
fn waiting(
    plan: &Plan,
    it: &Move,
    logs: &BTreeMap<Object, Log>,
) -> Option<(String, Option<String>)> {
    let (namespace, name) = &it.account;
    let mut accounts = plan.accounts.iter();
    let account = accounts.find(|it| it.namespace == *namespace && it.name == *name);
    if account.is_some_and(|it| !it.is_done()) {
        let reason = format!(
            "service account {name} lacks annotation {}",
            annotation::CLIENT_ID
        );
        return Some((
            reason,
            Some(plan_again(&it.workload.object, "-o kubectl").to_string()),
        ));
    }
    let is_known = plan.usage.iter().any(|it| it.present.is_some());
    let subject = subject(namespace, name);
    let lacking = plan.wanted.iter().find(|it| it.subject == subject);
    if let Some(lacking) = lacking.filter(|_| is_known) {
        let reason = format!(
            "{} has no federated credential for {subject}",
            lacking.identity.name
        );
        return Some((
            reason,
            Some(plan_again(&it.workload.object, "-o az").to_string()),
        ));
    }
    pods(it).or_else(|| {
        let mut logs = it.pods.iter().filter_map(|it| logs.get(&it.object));
        logs.find_map(|log| match log {
            Log::Refused(why) => Some((
                format!(
                    "Entra refuses a token: {why}. A federated credential takes some minutes to work everywhere"
                ),
                Some(plan_again(&it.workload.object, "-o az").to_string()),
            )),
            Log::Token | Log::Silent => None,
        })
    })
}

fn pods(it: &Move) -> Option<(String, Option<String>)> {
    let old: Vec<&Pod> = it.pods.iter().filter(|it| !it.template.has_proxy).collect();
    if !old.is_empty() {
        let names: Vec<&str> = old
            .iter()
            .take(MAX_NAMES)
            .map(|it| it.object.name.as_str())
            .collect();
        let reason = format!(
            "{} of {} pods have no proxy: {}",
            old.len(),
            it.pods.len(),
            names.join(", ")
        );
        let fix = match it.workload.form {
            // A Job's pods end by themselves.
            Form::CronJob => None,
            _ => {
                let delete = Command::new("kubectl -n").arg(&it.workload.object.namespace);
                let names = names.into_iter();
                let delete = names.fold(delete.text("delete pod"), Command::operand);
                Some(delete.to_string())
            }
        };
        return Some((reason, fix));
    }
    let wanted = usize::try_from(it.workload.replicas.unwrap_or(0)).unwrap_or(usize::MAX);
    let ready = it.pods.iter().filter(|it| it.is_ready).count();
    let expected = wanted.max(if it.workload.form == Form::CronJob {
        0
    } else {
        it.pods.len()
    });
    (ready < expected).then(|| {
        let reason = format!("{ready} of {expected} pods are ready");
        let get = Command::new("kubectl -n").arg(&it.workload.object.namespace);
        (reason, Some(get.text("get pods,events").to_string()))
    })
}

/// What is worth knowing of a workload that is done.
fn silent(it: &Move, logs: &BTreeMap<Object, Log>) -> Option<String> {
    let mut own = it.pods.iter().filter_map(|it| logs.get(&it.object));
    if it.pods.is_empty() {
        Some("no pods now".to_owned())
    } else if own.any(|it| *it == Log::Token) {
        None
    } else {
        Some("its proxies have not been asked for a token yet".to_owned())
    }
}

/// The plan of one workload, in another output.
#[must_use]
pub fn plan_again(object: &Object, output: &'static str) -> Command {
    let name = format!("{}/{}", object.kind.to_ascii_lowercase(), object.name);
    Command::new("azwi migrate plan")
        .operand(&name)
        .text("-n")
        .arg(&object.namespace)
        .text(output)
}

/// Pods that a command names.
const MAX_NAMES: usize = 10;
