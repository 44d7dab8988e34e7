//! Service accounts and the federated credentials that they need, against those that Azure has.
//!
//! [`plan()`] decides; it does no I/O. [`mod@write`] writes the plan, and [`mod@apply`] runs `az` with it.

pub mod apply;
mod difference;
mod plan;
#[cfg(test)]
mod tests;
pub mod write;

pub use difference::Difference;
pub use plan::plan;

use std::collections::BTreeMap;

use crate::azure::Inventory;
use crate::azure::plan::{Unwanted, Wanted};
use crate::facts::account::Account;

/// What a plan is made of.
#[derive(Debug)]
pub struct Input<'a> {
    /// The cluster's service accounts by namespace and name.
    pub accounts: &'a BTreeMap<(String, String), Account>,
    /// The one namespace that was read, `None` for all.
    pub namespace: Option<&'a str>,
    /// What Azure has.
    pub inventory: &'a Inventory,
    /// The issuer of the cluster's tokens.
    pub issuer: &'a str,
    /// The issuer that its tokens will have.
    pub new_issuer: Option<&'a str>,
    /// The audience of its tokens.
    pub audience: &'a str,
}

/// What is right, what is wrong, and what fixes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each service account with a client id, and each of its issuers.
    pub accounts: Vec<CheckedAccount>,
    /// Federated credentials to write, one after the other.
    pub changes: Vec<Change>,
    /// Federated credentials to remove. [`apply`] removes none.
    pub removals: Vec<Removal>,
    /// Federated credentials whose identity is not known.
    pub ownerless: usize,
}

impl Plan {
    /// Whether something is wrong that [`Plan::changes`] do not fix.
    #[must_use]
    pub fn has_open_faults(&self) -> bool {
        let is_open =
            |it: &CheckedAccount| matches!(it.state, State::UnknownIdentity | State::Full);
        let is_wrong = |it: &Removal| it.reason != Reason::FormerIssuer;
        self.accounts.iter().any(is_open) || self.removals.iter().any(is_wrong)
    }

    /// The federated credentials that the changes write.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        self.changes.iter().map(|it| it.wanted.clone()).collect()
    }
}

/// A service account, and the federated credential that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAccount {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The client id of its annotation.
    pub client_id: String,
    /// The issuer.
    pub issuer: String,
    /// Whether it has the federated credential.
    pub state: State,
}

/// Whether a federated credential exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It exists, under this name.
    Present(String),
    /// It does not.
    Missing,
    /// It does not, but one that was meant for the account.
    Wrong {
        /// The name of the wrong one.
        name: String,
        /// How it differs.
        difference: Difference,
    },
    /// Azure's output does not have the identity.
    UnknownIdentity,
    /// It does not exist, and the identity can have no more.
    Full,
}

/// A federated credential to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The federated credential.
    pub wanted: Wanted,
    /// Whether one of this name is overwritten.
    pub is_update: bool,
}

/// A federated credential to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Which one.
    pub unwanted: Unwanted,
    /// Its issuer.
    pub issuer: String,
    /// Its subject.
    pub subject: String,
    /// Why.
    pub reason: Reason,
}

/// Why a federated credential is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its service account does not exist: anyone who may create that account gets the identity.
    Dangling,
    /// No token has exactly its issuer and subject.
    Wrong,
    /// It is of the issuer that the cluster leaves. It is needed until the last token of that issuer has expired.
    FormerIssuer,
}

impl Reason {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dangling => "dangling",
            Self::Wrong => "wrong",
            Self::FormerIssuer => "formerIssuer",
        }
    }
}
