//! Compares, and decides what to write.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, CheckedAccount, Difference, Input, Plan, Reason, Removal, State};
use crate::azure::plan::{MAX_CREDENTIALS, Unwanted, Wanted, WantedIdentity, account_of};
use crate::azure::{FederatedCredential, Identity, Owner};

/// What is right, what is wrong, and what fixes it.
#[must_use]
pub fn plan(input: &Input<'_>) -> Plan {
    let mut planner = Planner {
        input,
        plan: Plan::default(),
        added: BTreeMap::new(),
        used: Vec::new(),
        wrong: Vec::new(),
    };
    let issuers = [Some(input.issuer), input.new_issuer];
    for issuer in issuers.into_iter().flatten() {
        for ((namespace, name), account) in input.accounts {
            let client_id = account.client_id().trim();
            if client_id.is_empty() {
                continue;
            }
            let state = planner.judge(client_id, issuer, (namespace, name));
            planner.plan.accounts.push(CheckedAccount {
                namespace: namespace.clone(),
                name: name.clone(),
                client_id: client_id.to_owned(),
                issuer: issuer.to_owned(),
                state,
            });
        }
    }
    planner.remove();
    planner.plan
}

struct Planner<'a> {
    input: &'a Input<'a>,
    plan: Plan,
    /// How many federated credentials each identity gets.
    added: BTreeMap<String, usize>,
    /// Credentials that a service account uses.
    used: Vec<&'a FederatedCredential>,
    /// Credentials that were meant for a service account.
    wrong: Vec<&'a FederatedCredential>,
}

impl<'a> Planner<'a> {
    fn judge(&mut self, client_id: &str, issuer: &str, account: (&str, &str)) -> State {
        let inventory = self.input.inventory;
        let Some(identity) = inventory.identity(client_id) else {
            return State::UnknownIdentity;
        };
        let mut wanted = Wanted::new(identity.into(), issuer, account, self.input.audience);
        let mut credentials: Vec<&'a FederatedCredential> =
            inventory.credentials_of(&identity.client_id).collect();
        // A document may be given twice.
        let mut names = BTreeSet::new();
        credentials.retain(|it| names.insert(it.name.to_ascii_lowercase()));
        let is_same =
            |it: &&FederatedCredential| it.issuer == wanted.issuer && it.subject == wanted.subject;
        if let Some(same) = credentials.iter().copied().find(|it| is_same(it)) {
            self.used.push(same);
            if same.audiences.contains(&wanted.audience) {
                return State::Present(same.name.clone());
            }
            // Azure refuses a second one with this issuer and subject.
            wanted.name.clone_from(&same.name);
            self.change(wanted, true);
            return State::Wrong {
                name: same.name.clone(),
                difference: Difference::Audience,
            };
        }
        let is_update = credentials
            .iter()
            .any(|it| it.name.eq_ignore_ascii_case(&wanted.name));
        let added = self.added.entry(identity.client_id.clone()).or_default();
        if !is_update && credentials.len() + *added >= MAX_CREDENTIALS {
            return State::Full;
        }
        *added += usize::from(!is_update);
        let near = credentials.into_iter().find_map(|it| {
            let difference = Difference::between(it, &wanted)?;
            (!self.is_of_another_account(it)).then_some((it, difference))
        });
        self.change(wanted, is_update);
        match near {
            None => State::Missing,
            Some((credential, difference)) => {
                self.wrong.push(credential);
                State::Wrong {
                    name: credential.name.clone(),
                    difference,
                }
            }
        }
    }

    fn change(&mut self, wanted: Wanted, is_update: bool) {
        self.plan.changes.push(Change { wanted, is_update });
    }

    /// Whether the credential is right for an account of the cluster.
    fn is_of_another_account(&self, credential: &FederatedCredential) -> bool {
        let issuers = [Some(self.input.issuer), self.input.new_issuer];
        issuers.contains(&Some(&credential.issuer))
            && account_of(&credential.subject).is_some_and(|it| self.exists(it))
    }

    /// Whether an account exists. Of namespaces that were not read, all do.
    fn exists(&self, (namespace, name): (&str, &str)) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        !self.is_read(namespace) || self.input.accounts.contains_key(&key)
    }

    fn is_read(&self, namespace: &str) -> bool {
        self.input.namespace.is_none_or(|it| it == namespace)
    }

    /// Finds what to remove.
    fn remove(&mut self) {
        let inventory = self.input.inventory;
        let mut seen = BTreeSet::new();
        for credential in &inventory.credentials {
            let Some(identity) = self.owner(credential) else {
                self.plan.ownerless += 1;
                continue;
            };
            let resource_id = identity.resource_id.clone().map(|it| it.to_lowercase());
            let name = credential.name.to_ascii_lowercase();
            if !seen.insert((resource_id, identity.client_id.clone(), name)) {
                continue;
            }
            let Some(reason) = self.reason(credential) else {
                continue;
            };
            let is_overwritten = |it: &Change| {
                it.wanted.identity == identity
                    && it.wanted.name.eq_ignore_ascii_case(&credential.name)
            };
            if !self.plan.changes.iter().any(is_overwritten) {
                self.plan.removals.push(Removal {
                    unwanted: Unwanted {
                        identity,
                        name: credential.name.clone(),
                    },
                    issuer: credential.issuer.clone(),
                    subject: credential.subject.clone(),
                    reason,
                });
            }
        }
    }

    fn reason(&self, credential: &FederatedCredential) -> Option<Reason> {
        let is_in = |list: &[&FederatedCredential]| list.iter().any(|it| **it == *credential);
        if is_in(&self.used) {
            let is_left = self.input.new_issuer.is_some() && credential.issuer == self.input.issuer;
            return is_left.then_some(Reason::FormerIssuer);
        }
        if is_in(&self.wrong) {
            return Some(Reason::Wrong);
        }
        let (namespace, name) = account_of(&credential.subject)?;
        if !self.is_read(namespace) {
            return None;
        }
        let issuers = [Some(self.input.issuer), self.input.new_issuer];
        if issuers.contains(&Some(&credential.issuer)) {
            return (!self.exists((namespace, name))).then_some(Reason::Dangling);
        }
        let form = |it: &str| it.trim().trim_end_matches('/').to_lowercase();
        let mut issuers = issuers.into_iter().flatten();
        let is_near = issuers.any(|it| form(it) == form(&credential.issuer));
        is_near.then_some(Reason::Wrong)
    }

    /// The identity that a credential belongs to, with an empty client id where that is not known.
    fn owner(&self, credential: &FederatedCredential) -> Option<WantedIdentity> {
        let inventory = self.input.inventory;
        match &credential.owner {
            Owner::Unknown => None,
            Owner::Client(id) => Some(match inventory.identity(id) {
                Some(identity) => identity.into(),
                None => WantedIdentity {
                    client_id: id.clone(),
                    ..WantedIdentity::default()
                },
            }),
            Owner::Resource(id) => {
                let mut identities = inventory.identities.iter();
                let identity = identities.find(|it| {
                    let other = it.resource_id.as_deref();
                    other.is_some_and(|other| other.eq_ignore_ascii_case(id))
                });
                Some(identity.map_or_else(
                    || WantedIdentity {
                        client_id: String::new(),
                        resource_id: Some(id.clone()),
                        name: id.rsplit('/').next().unwrap_or_default().to_owned(),
                    },
                    Into::into,
                ))
            }
        }
    }
}

impl From<&Identity> for WantedIdentity {
    fn from(identity: &Identity) -> Self {
        Self {
            client_id: identity.client_id.clone(),
            resource_id: identity.resource_id.clone(),
            name: identity.name.clone(),
        }
    }
}
