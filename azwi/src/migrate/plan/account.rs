//! The service account that has the identities of a workload.
//!
//! Workloads of one namespace with the same service account and the same identities share one, so that an identity
//! needs few federated credentials. The account `default` gets none: every pod that names no other
//! would get the identity.

use std::collections::{BTreeMap, BTreeSet};

use contract::annotation;

use super::identity::Identity;
use super::{Block, Move};
use crate::azure;
use crate::facts::account::Account as AccountFacts;
use crate::facts::object::Object;
use crate::migrate::inventory::{AccountDetails, Inventory};

/// A service account after the migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it has to be made.
    pub is_new: bool,
    /// The account that it replaces, with what it needs of it. `None` for one that stays.
    pub replaces: Option<(String, AccountDetails)>,
    /// Annotations that it has to get.
    pub annotations: BTreeMap<String, String>,
    /// The values of these annotations now.
    pub before: BTreeMap<String, Option<String>>,
    /// Its identities, the first one first.
    pub identities: Vec<Identity>,
    /// The workloads that use it.
    pub users: BTreeSet<Object>,
}

impl Account {
    /// Its name for people and commands.
    #[must_use]
    pub fn object(&self) -> Object {
        Object::new("ServiceAccount", &self.namespace, &self.name)
    }

    /// Whether nothing has to be done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.is_new && self.annotations.is_empty()
    }

    /// Sets the first identity.
    pub(super) fn set_identity(&mut self, inventory: &Inventory, identity: Identity) {
        match self.identities.first_mut() {
            Some(first) => *first = identity,
            None => self.identities.push(identity),
        }
        self.annotate(inventory);
    }

    fn annotate(&mut self, inventory: &Inventory) {
        let Some(identity) = self.identities.first() else {
            return;
        };
        let key = (self.namespace.clone(), self.name.clone());
        let accounts = inventory.facts.accounts.as_ref();
        let facts = accounts.and_then(|it| it.get(&key));
        let details = inventory.accounts.get(&key);
        let installation = inventory.facts.installation.as_ref();
        let settings = installation.and_then(|it| it.settings.as_ref());
        let of_cluster = settings.map(|it| it.tenant_id.as_str());
        let tenant = identity.tenant_id.as_deref();
        let tenant = tenant.filter(|it| Some(*it) != of_cluster);
        self.annotations.clear();
        self.before.clear();
        let wanted = [
            (annotation::CLIENT_ID, Some(identity.client_id.as_str())),
            (annotation::TENANT_ID, tenant),
        ];
        for (name, value) in wanted {
            let Some(value) = value else { continue };
            let now = facts.map(|it| match name {
                annotation::CLIENT_ID => &*it.view.client_id,
                _ => &*it.view.tenant_id,
            });
            if now != Some(value) {
                let before = details.and_then(|it| it.annotations.get(name).cloned());
                self.before.insert(name.to_owned(), before);
                self.annotations.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// The service accounts of all moves.
pub(super) struct Accounts {
    pub(super) all: Vec<Account>,
}

/// What decides which workloads share an account.
type Key = Vec<String>;

impl Accounts {
    /// Gives every move an account.
    pub(super) fn assign(
        inventory: &Inventory,
        azure: Option<&azure::Inventory>,
        moves: &mut [Move],
    ) -> Self {
        let mut accounts = Self { all: Vec::new() };
        let Some(existing) = inventory.facts.accounts.as_ref() else {
            for it in moves.iter_mut() {
                let fix = "the right to list serviceaccounts";
                it.blocks
                    .push(Block::new("the service accounts could not be read", fix));
            }
            return accounts;
        };
        let keepers = keepers(existing, azure, moves);
        let (stay, leave): (Vec<_>, Vec<_>) = moves
            .iter_mut()
            .filter(|it| !it.identities.is_empty())
            .partition(|it| {
                let current = current(it);
                current.1 != "default" && keepers.get(&current) == Some(&key(&it.identities))
            });
        for it in stay {
            it.account = current(it);
            accounts.add(inventory, it, None);
        }
        for it in leave {
            let (namespace, current) = current(it);
            let name = accounts.name(inventory, existing, it, &current);
            it.account = (namespace, name);
            accounts.add(inventory, it, Some(current));
        }
        accounts
    }

    /// The account of a move.
    pub(super) fn of(&mut self, it: &Move) -> Option<&mut Account> {
        let (namespace, name) = &it.account;
        let mut all = self.all.iter_mut();
        all.find(|it| it.namespace == *namespace && it.name == *name)
    }

    /// Makes the service accounts of the inventory those after the migration.
    pub(super) fn put_into(&self, inventory: &mut Inventory) {
        let Some(accounts) = &mut inventory.facts.accounts else {
            return;
        };
        for it in &self.all {
            let key = (it.namespace.clone(), it.name.clone());
            let facts = accounts.entry(key).or_default();
            let mut annotations = it.annotations.clone();
            for (name, value) in [
                (annotation::CLIENT_ID, &facts.view.client_id),
                (annotation::TENANT_ID, &facts.view.tenant_id),
            ] {
                if !value.is_empty() {
                    annotations
                        .entry(name.to_owned())
                        .or_insert_with(|| value.to_string());
                }
            }
            *facts = AccountFacts::read(&annotations, &BTreeMap::new());
        }
    }

    /// A name for a new account: one that is free, or that has this identity already and no other user.
    fn name(
        &self,
        inventory: &Inventory,
        existing: &BTreeMap<(String, String), AccountFacts>,
        it: &Move,
        current: &str,
    ) -> String {
        let namespace = &it.workload.object.namespace;
        let identity = it.identity().map(|it| it.source.name.as_str());
        let identity = identity.unwrap_or_default();
        let stem = if current == "default" {
            shortened(identity)
        } else {
            shortened(&format!("{current}-{identity}"))
        };
        let replaces_same = |place: &(String, String)| {
            let details = inventory.accounts.get(place);
            details.and_then(|it| it.replaces.as_deref()) == Some(current)
        };
        let is_usable = |name: &str| {
            let place = (namespace.clone(), name.to_owned());
            let mut planned = self.all.iter();
            let planned = planned.find(|it| it.namespace == *namespace && it.name == name);
            if let Some(planned) = planned {
                let replaced = planned.replaces.as_ref().map(|(name, _)| name.as_str());
                return key(&planned.identities) == key(&it.identities)
                    && (replaced == Some(current) || replaces_same(&place));
            }
            let Some(account) = existing.get(&place) else {
                return true;
            };
            let client_id = it.identity().map(|it| it.client_id.as_str());
            let mut users = inventory.users.get(&place).into_iter().flatten();
            Some(account.client_id()) == client_id
                && (replaces_same(&place) || users.next().is_none())
        };
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let mut names = [stem.clone()].into_iter().chain(numbered);
        names.find(|it| is_usable(it)).unwrap_or(stem)
    }

    fn add(&mut self, inventory: &Inventory, it: &Move, replaces: Option<String>) {
        let object = it.workload.object.clone();
        if let Some(account) = self.of(it) {
            account.users.insert(object);
            return;
        }
        let (namespace, name) = it.account.clone();
        let accounts = inventory.facts.accounts.as_ref();
        let is_new = accounts.is_some_and(|all| !all.contains_key(&it.account));
        let replaces = replaces.map(|name| {
            let key = (namespace.clone(), name.clone());
            let details = inventory.accounts.get(&key).cloned();
            (name, details.unwrap_or_default())
        });
        let mut account = Account {
            namespace,
            name,
            is_new,
            replaces,
            identities: it.identities.clone(),
            users: BTreeSet::from([object]),
            ..Account::default()
        };
        account.annotate(inventory);
        self.all.push(account);
    }
}

/// Which identities each existing account has: those of its annotation, else those of most workloads.
fn keepers(
    existing: &BTreeMap<(String, String), AccountFacts>,
    azure: Option<&azure::Inventory>,
    moves: &[Move],
) -> BTreeMap<(String, String), Key> {
    let mut counts = BTreeMap::<(String, String), BTreeMap<Key, usize>>::new();
    for it in moves.iter().filter(|it| !it.identities.is_empty()) {
        let account = current(it);
        let now = existing.get(&account).map_or("", |it| it.client_id());
        let is_named = it
            .identity()
            .is_some_and(|it| it.client_id.eq_ignore_ascii_case(now) || it.has_spare(azure, now));
        // An account that has another identity already keeps it.
        if !now.is_empty() && !is_named {
            continue;
        }
        let keys = counts.entry(account).or_default();
        let count = keys.entry(key(&it.identities)).or_default();
        *count += 1;
    }
    counts
        .into_iter()
        .filter_map(|(account, keys)| {
            // Of several with the same number, the first.
            let most = keys.values().copied().max()?;
            let (key, _) = keys.into_iter().find(|(_, count)| *count == most)?;
            Some((account, key))
        })
        .collect()
}

/// Namespace and name of the account that a workload has now.
fn current(it: &Move) -> (String, String) {
    let namespace = it.workload.object.namespace.clone();
    (namespace, it.workload.template.account().to_owned())
}

/// The client ids: the first one, then the others in order.
fn key(identities: &[Identity]) -> Key {
    let mut ids: Vec<String> = identities
        .iter()
        .map(|it| it.client_id.to_ascii_lowercase())
        .collect();
    if let Some((_, others)) = ids.split_first_mut() {
        others.sort();
    }
    ids
}

/// A name that Kubernetes allows in a label, too.
fn shortened(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Characters of a name, without a number at its end.
const MAX_NAME: usize = 60;
