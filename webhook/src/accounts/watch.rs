//! Keeps the store as the cluster is: a watch of metadata alone, listed in pages.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};

use super::Accounts;
use super::store::{self, Map};
use crate::inject::Account;

/// Watches for ever. After an error or a gap it lists anew; meanwhile the old accounts are served.
pub async fn run(client: Client, accounts: Arc<Accounts>) {
    let api: Api<PartialObjectMeta<ServiceAccount>> = Api::all(client);
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut listing = Map::new();
    let mut is_failing = false;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                if !is_failing {
                    tracing::warn!("service accounts cannot be watched, trying again: {error}");
                }
                is_failing = true;
                continue;
            }
        };
        if is_failing {
            tracing::info!("service accounts are watched again");
            is_failing = false;
        }
        apply(event, &mut listing, &accounts);
    }
}

fn apply(event: Event<PartialObjectMeta<ServiceAccount>>, listing: &mut Map, accounts: &Accounts) {
    match event {
        Event::Init => *listing = Map::new(),
        Event::InitApply(object) => {
            let (namespace, name) = identity(&object);
            store::put(listing, namespace, name, account(&object));
        }
        Event::InitDone => {
            accounts.store.replace(std::mem::take(listing));
            tracing::info!(annotated = accounts.count(), "service accounts are listed");
        }
        Event::Apply(object) => {
            let (namespace, name) = identity(&object);
            accounts.store.set(namespace, name, account(&object));
        }
        Event::Delete(object) => {
            let (namespace, name) = identity(&object);
            accounts.store.set(namespace, name, None);
        }
    }
}

fn identity(object: &PartialObjectMeta<ServiceAccount>) -> (&str, &str) {
    let metadata = &object.metadata;
    let [namespace, name] =
        [&metadata.namespace, &metadata.name].map(|part| part.as_deref().unwrap_or_default());
    (namespace, name)
}

pub(super) fn account(object: &PartialObjectMeta<ServiceAccount>) -> Option<Account> {
    Account::read(
        object.metadata.annotations.as_ref(),
        object.metadata.labels.as_ref(),
    )
}
