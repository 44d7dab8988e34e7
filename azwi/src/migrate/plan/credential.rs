//! Federated credentials: which are needed, which Azure lacks, and whether the identity has capacity for them.

use std::collections::BTreeMap;

use super::account::{Account, Accounts};
use super::identity::Identity;
use super::{Block, Move};
use crate::azure::plan::{MAX_CREDENTIALS, Wanted, WantedIdentity};
use crate::azure::{self, FederatedCredential};
use crate::command::Command;
use crate::migrate::inventory::Inventory;

/// How many federated credentials an identity has and needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The identity.
    pub identity: WantedIdentity,
    /// How many it has, `None` where that is not known.
    pub present: Option<usize>,
    /// How many it needs besides.
    pub needed: usize,
}

/// What decides whether there is capacity.
pub(super) struct Slots<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) azure: Option<&'a azure::Inventory>,
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
}

impl Slots<'_> {
    /// The federated credentials that the accounts need and Azure lacks. Where an identity has too many, another
    /// one takes its place, or the workloads are blocked.
    pub(super) fn fill(
        &self,
        accounts: &mut Accounts,
        moves: &mut [Move],
    ) -> (Vec<Wanted>, Vec<Usage>) {
        let mut wanted = Vec::new();
        let mut usage = BTreeMap::<String, Usage>::new();
        for account in &mut accounts.all {
            self.keep_spare(account, moves);
            let first = account.identities.first().cloned();
            for identity in account.identities.clone() {
                if self.take(account, &identity, &mut usage, &mut wanted) {
                    continue;
                }
                let spare = first
                    .as_ref()
                    .filter(|it| **it == identity)
                    .and_then(|it| self.spare(it, &usage));
                match spare {
                    Some(spare) => {
                        let is_taken = self.take(account, &spare, &mut usage, &mut wanted);
                        debug_assert!(is_taken);
                        self.use_spare(account, &spare, moves);
                    }
                    None => block(account, &identity, moves),
                }
            }
        }
        (wanted, usage.into_values().collect())
    }

    /// Adds the credential that an account needs of an identity. `false` when there is no capacity for it.
    fn take(
        &self,
        account: &Account,
        identity: &Identity,
        usage: &mut BTreeMap<String, Usage>,
        wanted: &mut Vec<Wanted>,
    ) -> bool {
        let it = self.wanted(account, identity);
        let entry = usage
            .entry(identity.client_id.to_ascii_lowercase())
            .or_insert_with(|| self.usage(&it));
        if self.present(identity).any(|own| matches(own, &it)) {
            return true;
        }
        if entry.present.unwrap_or(0) + entry.needed >= MAX_CREDENTIALS {
            return false;
        }
        entry.needed += 1;
        wanted.push(it);
        true
    }

    fn wanted(&self, account: &Account, identity: &Identity) -> Wanted {
        let identity = WantedIdentity {
            client_id: identity.client_id.clone(),
            resource_id: identity.resource_id.clone(),
            name: identity.name.clone(),
        };
        let name = (account.namespace.as_str(), account.name.as_str());
        Wanted::new(identity, self.issuer, name, self.audience)
    }

    fn usage(&self, wanted: &Wanted) -> Usage {
        let azure = self.azure;
        Usage {
            identity: wanted.identity.clone(),
            present: azure.map(|it| it.credentials_of(&wanted.identity.client_id).count()),
            needed: 0,
        }
    }

    fn present<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> impl Iterator<Item = &'a FederatedCredential> {
        let azure = self.azure.into_iter();
        azure.flat_map(|it| it.credentials_of(&identity.client_id))
    }

    /// An identity with capacity that was created as a second one beside another.
    fn spare(&self, of: &Identity, usage: &BTreeMap<String, Usage>) -> Option<Identity> {
        let azure = self.azure?;
        let mut spares = azure
            .identities
            .iter()
            .filter(|it| of.has_spare(self.azure, &it.client_id));
        let spare = spares.find(|it| {
            let planned = usage.get(&it.client_id.to_ascii_lowercase());
            let planned = planned.map_or(0, |it| it.needed);
            azure.credentials_of(&it.client_id).count() + planned < MAX_CREDENTIALS
        })?;
        Some(as_identity(spare, of))
    }

    /// Keeps the identity of an account that has a spare one already.
    fn keep_spare(&self, account: &mut Account, moves: &mut [Move]) {
        let place = (account.namespace.clone(), account.name.clone());
        let accounts = self.inventory.facts.accounts.as_ref();
        let now = accounts.and_then(|it| Some(it.get(&place)?.client_id().to_owned()));
        let (Some(now), Some(first), Some(azure)) = (now, account.identities.first(), self.azure)
        else {
            return;
        };
        if let Some(spare) = azure
            .identity(&now)
            .filter(|_| first.has_spare(Some(azure), &now))
        {
            let spare = as_identity(spare, first);
            self.use_spare(account, &spare, moves);
        }
    }

    fn use_spare(&self, account: &mut Account, spare: &Identity, moves: &mut [Move]) {
        for it in of(account, moves) {
            if let Some(first) = it.identities.first_mut() {
                it.notes.push(format!(
                    "{} has no capacity for another federated credential: {} takes its place, and needs the same role \
                     assignments. Requests that name client id {} have to name {}",
                    first.name, spare.name, first.client_id, spare.client_id
                ));
                *first = spare.clone();
            }
        }
        account.set_identity(self.inventory, spare.clone());
    }
}

fn as_identity(spare: &azure::Identity, of: &Identity) -> Identity {
    Identity {
        name: spare.name.clone(),
        client_id: spare.client_id.clone(),
        resource_id: spare.resource_id.clone(),
        ..of.clone()
    }
}

fn block(account: &Account, identity: &Identity, moves: &mut [Move]) {
    let create = Command::new("az identity create --name")
        .operand(&format!("{}-2", identity.name))
        .text("--resource-group <group>");
    for it in of(account, moves) {
        it.blocks.push(Block::new(
            format!("{} has no capacity: it can have {MAX_CREDENTIALS} federated credentials", identity.name),
            format!(
                "make a second identity ({create}), give it the same role assignments, and give the plan --credentials with \
                 it. Or use identity bindings: docs/identity-bindings.md"
            ),
        ));
    }
}

fn of<'a>(account: &Account, moves: &'a mut [Move]) -> impl Iterator<Item = &'a mut Move> {
    let place = (account.namespace.clone(), account.name.clone());
    moves.iter_mut().filter(move |it| it.account == place)
}

fn matches(own: &FederatedCredential, wanted: &Wanted) -> bool {
    own.issuer == wanted.issuer
        && own.subject == wanted.subject
        && own.audiences.contains(&wanted.audience)
}
