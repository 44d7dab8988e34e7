//! Writes a plan: for people, for programs, and as commands of `az`.

use std::fmt::{Result, Write};

use serde::Serialize;
use webhook::inject::printable;

use super::{Change, CheckedAccount, Plan, Reason, Removal, State};
use crate::azure::plan::WantedIdentity;
use crate::command::{Command, Script};
use crate::document;
use crate::facts::object::Object;

/// The plan for people: what is wrong, then how much.
///
/// # Errors
///
/// When `out` cannot be written.
pub fn text(out: &mut impl Write, plan: &Plan) -> Result {
    for it in &plan.accounts {
        let Some(sentence) = sentence(it) else {
            continue;
        };
        let CheckedAccount {
            namespace, name, ..
        } = it;
        let account = Object::new("ServiceAccount", namespace, name);
        writeln!(out, "{sentence}: {account}")?;
        writeln!(out, "    issuer {}", printable(&it.issuer))?;
    }
    for it in &plan.removals {
        let word = match it.reason {
            Reason::Dangling => {
                "dangling: its service account does not exist, and anyone who may create it gets the identity"
            }
            Reason::Wrong => "useless: no token has exactly this issuer and subject",
            Reason::FormerIssuer => "later: of the previous issuer",
        };
        let Removal { unwanted, .. } = it;
        let (name, identity) = (&unwanted.name, shown(&unwanted.identity));
        writeln!(
            out,
            "{word}: federated credential {} of {identity}",
            printable(name)
        )?;
        writeln!(out, "    subject {}", printable(&it.subject))?;
        writeln!(out, "    {}", super::apply::removal(it))?;
    }
    if plan.ownerless > 0 {
        writeln!(
            out,
            "not compared: {} federated credentials do not name their application: give them as --credentials <client id>=<file>",
            plan.ownerless
        )?;
    }
    let count = |is: fn(&State) -> bool| plan.accounts.iter().filter(|it| is(&it.state)).count();
    writeln!(
        out,
        "{} right, {} missing, {} wrong, {} unknown, {} without capacity; {} to write, {} to remove",
        count(|it| matches!(it, State::Present(_))),
        count(|it| matches!(it, State::Missing)),
        count(|it| matches!(it, State::Wrong { .. })),
        count(|it| matches!(it, State::UnknownIdentity)),
        count(|it| matches!(it, State::Full)),
        plan.changes.len(),
        plan.removals.len(),
    )
}

fn sentence(it: &CheckedAccount) -> Option<String> {
    let client_id = printable(&it.client_id);
    Some(match &it.state {
        State::Present(_) => return None,
        State::Missing => format!("missing: identity {client_id} has no federated credential"),
        State::Wrong { name, difference } => {
            let name = printable(name);
            format!("wrong: federated credential {name} of identity {client_id}: {difference}")
        }
        State::UnknownIdentity => format!(
            "unknown: Azure's output has no identity {client_id}: add that of az identity list or az ad app list"
        ),
        State::Full => format!(
            "full: identity {client_id} has as many federated credentials as it can: give the service account another identity"
        ),
    })
}

fn shown(identity: &WantedIdentity) -> String {
    let WantedIdentity {
        client_id, name, ..
    } = identity;
    printable(if name.is_empty() { client_id } else { name })
}

/// The commands: what to write, then what to remove as comments.
#[must_use]
pub fn az(plan: &Plan) -> Script {
    let mut script = Script::default();
    for it in &plan.changes {
        script.push(&Command::from(&super::apply::change(it)));
    }
    let removals = |is_later: bool| {
        let removals = plan.removals.iter();
        removals.filter(move |it| (it.reason == Reason::FormerIssuer) == is_later)
    };
    for (heading, is_later) in [
        (
            "No service account uses these. Read each line before you run it.",
            false,
        ),
        (
            "Later, when no token of the previous issuer is left, a day after the API server has the new one:",
            true,
        ),
    ] {
        if removals(is_later).next().is_some() {
            script.comment(heading);
        }
        for it in removals(is_later) {
            script.comment(&super::apply::removal(it).to_string());
        }
    }
    script
}

/// The plan for programs. Fields are added, never renamed or removed.
///
/// # Errors
///
/// Never in practice: every map key is a string.
pub fn json(plan: &Plan) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(&Document {
        accounts: plan.accounts.iter().map(Account::from).collect(),
        write: plan.changes.iter().map(Written::from).collect(),
        remove: plan.removals.iter().map(Removed::from).collect(),
        not_compared: plan.ownerless,
    })?;
    Ok(document::escaped(&text))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    accounts: Vec<Account<'a>>,
    write: Vec<Written<'a>>,
    remove: Vec<Removed<'a>>,
    not_compared: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account<'a> {
    namespace: &'a str,
    name: &'a str,
    client_id: &'a str,
    issuer: &'a str,
    state: &'static str,
    credential: Option<&'a str>,
    difference: Option<String>,
}

impl<'a> From<&'a CheckedAccount> for Account<'a> {
    fn from(it: &'a CheckedAccount) -> Self {
        let (state, credential, difference) = match &it.state {
            State::Present(name) => ("present", Some(name.as_str()), None),
            State::Missing => ("missing", None, None),
            State::Wrong { name, difference } => {
                ("wrong", Some(name.as_str()), Some(difference.to_string()))
            }
            State::UnknownIdentity => ("unknownIdentity", None, None),
            State::Full => ("full", None, None),
        };
        Self {
            namespace: &it.namespace,
            name: &it.name,
            client_id: &it.client_id,
            issuer: &it.issuer,
            state,
            credential,
            difference,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    client_id: &'a str,
    resource_id: Option<&'a str>,
    name: &'a str,
}

impl<'a> From<&'a WantedIdentity> for Identity<'a> {
    fn from(it: &'a WantedIdentity) -> Self {
        Self {
            client_id: &it.client_id,
            resource_id: it.resource_id.as_deref(),
            name: &it.name,
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    identity: Identity<'a>,
    name: &'a str,
    issuer: &'a str,
    subject: &'a str,
    audience: &'a str,
    update: bool,
}

impl<'a> From<&'a Change> for Written<'a> {
    fn from(it: &'a Change) -> Self {
        Self {
            identity: (&it.wanted.identity).into(),
            name: &it.wanted.name,
            issuer: &it.wanted.issuer,
            subject: &it.wanted.subject,
            audience: &it.wanted.audience,
            update: it.is_update,
        }
    }
}

#[derive(Serialize)]
struct Removed<'a> {
    identity: Identity<'a>,
    name: &'a str,
    issuer: &'a str,
    subject: &'a str,
    reason: &'static str,
    command: Command,
}

impl<'a> From<&'a Removal> for Removed<'a> {
    fn from(it: &'a Removal) -> Self {
        let call = super::apply::removal(it);
        Self {
            identity: (&it.unwanted.identity).into(),
            name: &it.unwanted.name,
            issuer: &it.issuer,
            subject: &it.subject,
            reason: it.reason.as_str(),
            command: Command::from(&call),
        }
    }
}
