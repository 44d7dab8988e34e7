//! The annotated service accounts in memory, packed, because a cluster may have very many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::inject::Account;

/// Accounts by `namespace/name`.
#[derive(Default)]
pub(super) struct Store {
    accounts: RwLock<Map>,
    /// When the API server began to answer the first list.
    growing_since: OnceLock<Instant>,
    is_listed: AtomicBool,
}

/// Accounts by `namespace/name`, of the store or of a list that is not complete yet.
pub(super) type Map = HashMap<Box<str>, Packed>;

impl Store {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Account> {
        let key = key(namespace, name);
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(key.as_str()).map(Packed::unpack)
    }

    pub(super) fn set(&self, namespace: &str, name: &str, account: Option<&Account>) {
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        put(&mut accounts, namespace, name, account);
    }

    /// The first list begins, or begins again.
    pub(super) fn begin(&self) {
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        accounts.clear();
    }

    /// Adds an account of the first list.
    pub(super) fn add(&self, namespace: &str, name: &str, account: Option<&Account>) {
        self.growing_since.get_or_init(Instant::now);
        self.set(namespace, name, account);
    }

    /// The first list is complete.
    pub(super) fn complete(&self) {
        self.is_listed.store(true, Ordering::Release);
    }

    /// How long the first list has been growing.
    pub(super) fn growing(&self) -> Option<Duration> {
        self.growing_since.get().map(Instant::elapsed)
    }

    pub(super) fn replace(&self, listed: Map) {
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *accounts, listed);
        drop(accounts);
        // Outside the lock, so that reviews do not wait.
        drop(before);
    }

    pub(super) fn is_listed(&self) -> bool {
        self.is_listed.load(Ordering::Acquire)
    }

    pub(super) fn len(&self) -> usize {
        self.accounts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

pub(super) fn put(map: &mut Map, namespace: &str, name: &str, account: Option<&Account>) {
    let key = key(namespace, name);
    match account {
        Some(account) => {
            map.insert(key.into(), Packed::pack(account));
        }
        None => {
            map.remove(key.as_str());
        }
    }
}

/// Unambiguous: neither part can have a slash.
pub(super) fn key(namespace: &str, name: &str) -> String {
    [namespace, "/", name].concat()
}

/// An account in one allocation: its parts with a separator between them.
#[derive(Debug)]
pub(super) struct Packed(Box<str>);

impl Packed {
    fn pack(account: &Account) -> Self {
        // No valid value has the separator in it.
        let part = |text: &str| text.replace(SEPARATOR, "\u{fffd}");
        let mut parts = vec![
            part(&account.client_id),
            part(&account.tenant_id),
            (if account.labelled { LABELLED } else { "" }).to_owned(),
            // Absent and empty are different.
            account
                .token_expiration
                .as_deref()
                .map(|it| format!("={}", part(it)))
                .unwrap_or_default(),
        ];
        parts.extend(account.unknown.iter().map(|name| part(name)));
        // The last parts are mostly empty.
        Self(parts.join("\0").trim_end_matches(SEPARATOR).into())
    }

    fn unpack(&self) -> Account {
        let mut parts = self.0.split(SEPARATOR);
        let mut next = || parts.next().unwrap_or_default();
        Account {
            client_id: next().into(),
            tenant_id: next().into(),
            labelled: next() == LABELLED,
            token_expiration: next().strip_prefix('=').map(Into::into),
            unknown: parts.map(Into::into).collect(),
        }
    }
}

const SEPARATOR: char = '\0';
const LABELLED: &str = "labelled";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_an_account_loses_nothing() {
        let full = Account {
            client_id: "client".into(),
            tenant_id: "tenant".into(),
            token_expiration: Some("3600".into()),
            labelled: true,
            unknown: ["a".into(), "b".into()].into(),
        };
        let odd = Account {
            token_expiration: Some("".into()),
            ..Account::default()
        };
        let unknown = Account {
            unknown: ["a".into()].into(),
            ..Account::default()
        };
        let labelled = Account {
            labelled: true,
            ..Account::default()
        };
        for account in [full, odd, unknown, labelled, Account::default()] {
            assert_eq!(Packed::pack(&account).unpack(), account);
        }
        let hostile = Account {
            client_id: "a\0b".into(),
            ..Account::default()
        };
        assert_eq!(&*Packed::pack(&hostile).unpack().client_id, "a\u{fffd}b");
    }
}
