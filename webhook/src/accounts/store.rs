//! The annotated service accounts in memory, packed, because a cluster may have very many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use contract::annotation;

use crate::inject::Account;

/// Accounts by `namespace/name`.
#[derive(Default)]
pub(super) struct Store {
    accounts: RwLock<Accounts>,
    /// When the API server began to answer the first list.
    growing_since: OnceLock<Instant>,
    is_listed: AtomicBool,
}

#[derive(Default)]
struct Accounts {
    by_name: HashMap<Box<str>, Packed>,
    /// Bytes of all accounts, as [`size`] counts them.
    size: usize,
    /// The list that is arriving, or the last one.
    list: u32,
    /// Whether an account was left out, because [`MAX_SIZE`] was reached.
    is_full: bool,
}

impl Store {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Account> {
        let key = key(namespace, name);
        self.read().by_name.get(key.as_str()).map(Packed::unpack)
    }

    pub(super) fn set(&self, namespace: &str, name: &str, account: Option<&Account>) {
        self.write().put(&key(namespace, name), account);
    }

    /// A list begins, or begins again. Accounts of the previous one are served until it is complete.
    pub(super) fn begin(&self) {
        let mut accounts = self.write();
        accounts.list = accounts.list.wrapping_add(1);
        accounts.is_full = false;
    }

    /// Adds an account of a list.
    pub(super) fn add(&self, namespace: &str, name: &str, account: Option<&Account>) {
        self.growing_since.get_or_init(Instant::now);
        self.set(namespace, name, account);
    }

    /// A list is complete: forgets the accounts that it did not contain.
    pub(super) fn complete(&self) {
        self.write().forget_others();
        self.is_listed.store(true, Ordering::Release);
    }

    /// How long the first list has been growing.
    pub(super) fn growing(&self) -> Option<Duration> {
        self.growing_since.get().map(Instant::elapsed)
    }

    pub(super) fn is_listed(&self) -> bool {
        self.is_listed.load(Ordering::Acquire)
    }

    pub(super) fn is_full(&self) -> bool {
        self.read().is_full
    }

    pub(super) fn len(&self) -> usize {
        self.read().by_name.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Accounts> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Accounts> {
        self.accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn put(&mut self, key: &str, account: Option<&Account>) {
        if let Some(before) = self.by_name.remove(key) {
            self.size -= size(key, &before);
        }
        let Some(account) = account else { return };
        let packed = Packed::pack(account, self.list);
        let size = self.size + size(key, &packed);
        if size > MAX_SIZE {
            self.is_full = true;
            return;
        }
        self.size = size;
        self.by_name.insert(key.into(), packed);
    }

    fn forget_others(&mut self) {
        let (list, mut left) = (self.list, 0);
        self.by_name.retain(|key, packed| {
            let is_listed = packed.list == list;
            left += if is_listed { size(key, packed) } else { 0 };
            is_listed
        });
        self.size = left;
    }
}

/// Bytes that an account takes, with its place in the map and what the allocator adds.
fn size(key: &str, packed: &Packed) -> usize {
    const OVERHEAD: usize = 96;
    key.len() + packed.text.len() + OVERHEAD
}

/// Unambiguous: neither part can have a slash.
pub(super) fn key(namespace: &str, name: &str) -> String {
    [namespace, "/", name].concat()
}

/// An account in one allocation: its parts with a separator between them.
#[derive(Debug)]
struct Packed {
    text: Box<str>,
    /// The list that it was seen in or after.
    list: u32,
}

impl Packed {
    fn pack(account: &Account, list: u32) -> Self {
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
            account.too_long.unwrap_or_default().to_owned(),
        ];
        parts.extend(account.unknown.iter().map(|name| part(name)));
        // The last parts are mostly empty.
        let text = parts.join("\0").trim_end_matches(SEPARATOR).into();
        Self { text, list }
    }

    fn unpack(&self) -> Account {
        let mut parts = self.text.split(SEPARATOR);
        let mut next = || parts.next().unwrap_or_default();
        Account {
            client_id: next().into(),
            tenant_id: next().into(),
            labelled: next() == LABELLED,
            token_expiration: next().strip_prefix('=').map(Into::into),
            too_long: bounded_key(next()),
            unknown: parts.map(Into::into).collect(),
        }
    }
}

/// The key of an annotation whose value has a limit.
fn bounded_key(text: &str) -> Option<&'static str> {
    let keys = [
        annotation::CLIENT_ID,
        annotation::TENANT_ID,
        annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
    ];
    keys.into_iter().find(|key| *key == text)
}

const SEPARATOR: char = '\0';
const LABELLED: &str = "labelled";

/// Bytes of all accounts: some 80,000 ordinary ones. Those above it cost a look-up for each pod, so that
/// no number of accounts fills the webhook's memory. A quarter of the memory limit of the chart.
const MAX_SIZE: usize = 16 * 1024 * 1024;

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
            too_long: Some(annotation::TENANT_ID),
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
            assert_eq!(Packed::pack(&account, 0).unpack(), account);
        }
        let hostile = Account {
            client_id: "a\0b".into(),
            ..Account::default()
        };
        assert_eq!(&*Packed::pack(&hostile, 0).unpack().client_id, "a\u{fffd}b");
    }
    fn account(client_id: &str) -> Account {
        Account {
            client_id: client_id.into(),
            ..Account::default()
        }
    }

    #[test]
    fn a_list_replaces_the_one_before_when_it_is_complete() {
        let store = Store::default();
        store.begin();
        store.add("ns", "old", Some(&account("1")));
        store.add("ns", "kept", Some(&account("1")));
        store.complete();
        store.set("ns", "event", Some(&account("1")));
        store.begin();
        store.add("ns", "kept", Some(&account("2")));
        store.add("ns", "new", Some(&account("2")));
        let ids = || {
            ["old", "kept", "event", "new"].map(|name| {
                store
                    .get("ns", name)
                    .map_or(String::new(), |it| it.client_id.into())
            })
        };
        assert_eq!(ids(), ["1", "2", "1", "2"]);
        store.complete();
        assert_eq!(ids(), ["", "2", "", "2"]);
        let size: usize = store
            .read()
            .by_name
            .iter()
            .map(|(key, it)| size(key, it))
            .sum();
        assert_eq!(store.read().size, size);
    }

    #[test]
    fn accounts_share_a_bound_on_memory() {
        let store = Store::default();
        let large = Account {
            unknown: vec!["u".repeat(1_000).into(); 4].into(),
            ..account("1")
        };
        let most = MAX_SIZE / 4_000;
        for nth in 0..most {
            store.add("ns", &nth.to_string(), Some(&large));
        }
        assert!(store.is_full() && store.len() < most);
        assert!(store.read().size <= MAX_SIZE);
        assert_eq!(store.get("ns", &(most - 1).to_string()), None);
        for nth in 0..most {
            store.set("ns", &nth.to_string(), None);
        }
        assert_eq!(store.read().size, 0);
    }
}
