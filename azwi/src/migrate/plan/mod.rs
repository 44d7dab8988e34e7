//! What to do for each workload. No I/O, no clock.
//!
//! ```text
//! identity    bindings → the workload's identities, and how sure that is
//! account     the service account that gets them
//! credential  the federated credentials that Azure lacks, and whether there is capacity for them
//! change      what the template gets, and what blocks it
//! ```

mod account;
mod change;
mod credential;
mod identity;

pub use account::Account;
pub use credential::Usage;
pub use identity::{Identity, Sureness};

use std::collections::BTreeSet;

use contract::token::DEFAULT_AUDIENCE;
use serde::Serialize;

use super::inventory::Inventory;
use super::inventory::workload::{Pod, Workload};
use super::patch::Change;
use crate::azure;
use crate::azure::plan::{Wanted, subject};
use crate::checks::{self, Finding, Severity};
use crate::facts::object::Object;
use account::Accounts;

/// What the inventory alone does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What Azure has, if it was given.
    pub azure: Option<azure::Inventory>,
    /// The issuer, instead of that of the cluster's tokens.
    pub issuer: Option<String>,
}

/// What to do for each workload.
#[derive(Debug, Default)]
pub struct Plan {
    /// The issuer of the cluster's tokens, to the letter.
    pub issuer: Option<String>,
    /// Workloads to move, and those that moved.
    pub moves: Vec<Move>,
    /// Workloads to leave as they are.
    pub left: Vec<Left>,
    /// Service accounts to make or to annotate, and those that are as they should be.
    pub accounts: Vec<Account>,
    /// Federated credentials that Azure lacks: all that are needed, where it is not known what it has.
    pub wanted: Vec<Wanted>,
    /// How many federated credentials each identity has and needs.
    pub usage: Vec<Usage>,
    /// What is wrong with the webhook or the issuer: no workload can move before that is fixed.
    pub findings: Vec<Finding>,
}

/// A workload to move.
#[derive(Clone, Debug, Default)]
pub struct Move {
    /// The workload as it is.
    pub workload: Workload,
    /// Its pods that run.
    pub pods: Vec<Pod>,
    /// Its identities. The first answers requests that name none.
    pub identities: Vec<Identity>,
    /// How sure the first is.
    pub sureness: Sureness,
    /// Namespace and name of its service account afterwards.
    pub account: (String, String),
    /// What its template lacks. Empty once it has moved, and where its identity is not known.
    pub change: Change,
    /// What has to be fixed first.
    pub blocks: Vec<Block>,
    /// What to look at.
    pub notes: Vec<String>,
}

/// A workload to leave as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub object: Object,
    /// Why.
    pub reason: String,
}

/// What blocks a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Block {
    /// What is wrong.
    pub reason: String,
    /// The command that fixes it, or what to do.
    pub fix: Option<String>,
}

impl Block {
    pub(super) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            fix: Some(fix.into()),
        }
    }
}

impl Move {
    /// Whether its template has everything.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.change.is_empty() && !self.identities.is_empty()
    }

    /// Whether it can move now.
    #[must_use]
    pub fn can_move(&self) -> bool {
        !self.is_moved() && self.blocks.is_empty()
    }

    /// The identity that answers requests that name none.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identities.first()
    }
}

impl Plan {
    /// Leaves out the federated credentials of accounts whose workloads are all blocked: what nothing uses is a
    /// risk.
    fn forget_blocked(&mut self) {
        let is_needed = |account: &&Account| {
            let mut users = self
                .moves
                .iter()
                .filter(|it| account.users.contains(&it.workload.object));
            users.any(|it| it.blocks.is_empty())
        };
        let needed = self.accounts.iter().filter(is_needed);
        let subjects: BTreeSet<String> =
            needed.map(|it| subject(&it.namespace, &it.name)).collect();
        self.wanted.retain(|it| subjects.contains(&it.subject));
        self.count_wanted();
    }

    fn count_wanted(&mut self) {
        for usage in &mut self.usage {
            let client_id = &usage.identity.client_id;
            let own = self.wanted.iter();
            usage.needed = own.filter(|it| it.identity.client_id == *client_id).count();
        }
    }

    /// Keeps some workloads, with their service accounts and federated credentials.
    pub fn keep(&mut self, wanted: impl Fn(&Object) -> bool) {
        self.moves.retain(|it| wanted(&it.workload.object));
        self.left.retain(|it| wanted(&it.object));
        let moves = &self.moves;
        self.accounts.retain(|account| {
            let place = (&account.namespace, &account.name);
            moves
                .iter()
                .any(|it| (&it.account.0, &it.account.1) == place)
        });
        let accounts = &self.accounts;
        self.wanted.retain(|wanted| {
            let mut accounts = accounts.iter();
            accounts.any(|it| wanted.subject == subject(&it.namespace, &it.name))
        });
        self.usage.retain(|usage| {
            let mut identities = accounts.iter().flat_map(|it| &it.identities);
            identities.any(|it| it.client_id == usage.identity.client_id)
        });
        self.count_wanted();
    }
}

/// The plan for an inventory, in which the service accounts become those after the migration.
#[must_use]
pub fn plan(inventory: &mut Inventory, options: &Options) -> Plan {
    let issuer = options.issuer.clone();
    let issuer = issuer.or_else(|| Some(inventory.facts.issuer.as_ref()?.url.clone()));
    let mut plan = Plan {
        findings: checks::of_installation(&inventory.facts),
        ..Plan::default()
    };
    let facts = &inventory.facts;
    let is_error = |it: &Finding| it.code.severity() == Severity::Error;
    plan.findings.retain(is_error);
    if let Some(issuer) = facts.issuer.as_ref().filter(|_| options.issuer.is_none()) {
        let of_issuer = checks::of_issuer(issuer, facts.token.as_ref());
        // The others follow from the first.
        plan.findings.extend(of_issuer.into_iter().find(is_error));
    }
    for workload in &inventory.workloads {
        match identity::find(inventory, options.azure.as_ref(), workload) {
            identity::Found::Move(mut found) => {
                let pods = inventory.pods.iter();
                let own = pods.filter(|it| it.owner == workload.object);
                found.pods = own.cloned().collect();
                plan.moves.push(*found);
            }
            identity::Found::Left(left) => plan.left.push(left),
            identity::Found::Unrelated => {}
        }
    }
    let mut accounts = Accounts::assign(inventory, options.azure.as_ref(), &mut plan.moves);
    let audience = audience(inventory);
    let slots = credential::Slots {
        inventory,
        azure: options.azure.as_ref(),
        issuer: issuer.as_deref().unwrap_or(UNKNOWN_ISSUER),
        audience: &audience,
    };
    (plan.wanted, plan.usage) = slots.fill(&mut accounts, &mut plan.moves);
    accounts.put_into(inventory);
    for it in &mut plan.moves {
        change::decide(inventory, it);
    }
    plan.accounts = accounts.all;
    plan.forget_blocked();
    plan.issuer = issuer;
    plan
}

/// The audience of the webhook's tokens.
fn audience(inventory: &Inventory) -> String {
    let settings = inventory.facts.installation.as_ref();
    let settings = settings.and_then(|it| it.settings.as_ref());
    settings.map_or_else(|| DEFAULT_AUDIENCE.to_owned(), |it| it.audience.clone())
}

/// Stands in commands for an issuer that could not be read.
const UNKNOWN_ISSUER: &str = "<issuer>";
