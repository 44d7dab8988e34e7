//! The annotated service accounts in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::inject::Account;

/// Accounts by `namespace/name`.
#[derive(Default)]
pub(super) struct Store {
    accounts: RwLock<Map>,
    is_listed: AtomicBool,
}

/// A listing under way, which becomes the store's content at once when it is complete.
pub(super) type Map = HashMap<Box<str>, Arc<Account>>;

impl Store {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Account>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(key(namespace, name).as_str()).cloned()
    }

    pub(super) fn set(&self, namespace: &str, name: &str, account: Option<Account>) {
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        put(&mut accounts, namespace, name, account);
    }

    pub(super) fn replace(&self, mut listed: Map) {
        listed.shrink_to_fit();
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *accounts, listed);
        drop(accounts);
        drop(before);
        self.is_listed.store(true, Ordering::Release);
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

pub(super) fn put(map: &mut Map, namespace: &str, name: &str, account: Option<Account>) {
    let key = key(namespace, name);
    match account {
        Some(account) => {
            map.insert(key.into(), Arc::new(account));
        }
        None => {
            map.remove(key.as_str());
        }
    }
}

/// Neither part can have a slash.
pub(super) fn key(namespace: &str, name: &str) -> String {
    [namespace, "/", name].concat()
}
