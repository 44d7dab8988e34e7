//! Keeps the store as the cluster is.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy, watcher};
use kube::{Api, Client};

use super::Accounts;
use super::object::Object;
use super::store::{self, Map};

/// Watches for ever. After an error or a gap it lists anew; meanwhile the old accounts are served.
///
/// With `lists_as_streams` the API server is asked to send its list as events, which costs both
/// sides the least (KEP-3157); if it refuses, and otherwise, the list comes in pages.
pub async fn run(client: Client, accounts: Arc<Accounts>, lists_as_streams: bool) {
    let pages = watcher::Config::default().page_size(PAGE);
    if lists_as_streams {
        follow(&client, &accounts, pages.clone().streaming_lists()).await;
        tracing::info!("the API server does not list as a stream: service accounts come in pages");
    }
    follow(&client, &accounts, pages).await;
}

/// How many accounts come at a time. A page costs the API server and etcd as much as hundreds of
/// accounts, and the webhook the memory of all that is in it; reviews wait while it is parsed.
const PAGE: u32 = 1_000;

/// Ends only when the API server refuses to list as a stream.
async fn follow(client: &Client, accounts: &Accounts, config: watcher::Config) {
    let is_stream = config.initial_list_strategy == InitialListStrategy::StreamingList;
    let api: Api<Object> = Api::all(client.clone());
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut listing = Map::new();
    // Trouble is told once, not at every attempt.
    let mut is_told = false;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) if is_stream && is_refused(&error) => return,
            Err(error) => {
                accounts.heard_of_trouble();
                if !is_told {
                    tracing::warn!("service accounts cannot be watched, trying again: {error}");
                }
                is_told = true;
                continue;
            }
        };
        if !matches!(event, Event::Init) {
            accounts.heard();
        }
        let is_beginning = matches!(event, Event::Init | Event::InitApply(_));
        if is_told && !is_beginning {
            tracing::info!("service accounts are watched again");
            is_told = false;
        }
        apply(event, &mut listing, accounts);
    }
}

/// Whether the API server does not do this: by its version or feature gates (422), or because its
/// etcd is too old (500, inside the stream). Rights, load and gaps are no reason.
fn is_refused(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    !matches!(status.code, 401 | 403 | 410 | 429)
}

/// The first list serves while it grows, later ones when they are complete.
fn apply(event: Event<Object>, listing: &mut Map, accounts: &Accounts) {
    let is_first = !accounts.are_listed();
    match event {
        Event::Init if is_first => accounts.store.begin(),
        Event::Init => *listing = Map::new(),
        Event::InitApply(object) => {
            let (namespace, name) = (object.namespace(), object.name());
            if is_first {
                accounts.store.add(namespace, name, object.account.as_ref());
            } else {
                store::put(listing, namespace, name, object.account.as_ref());
            }
        }
        Event::InitDone => {
            if is_first {
                accounts.store.complete();
            } else {
                accounts.store.replace(std::mem::take(listing));
            }
            tracing::info!(annotated = accounts.count(), "service accounts are listed");
        }
        Event::Apply(object) => {
            let account = object.account.as_ref();
            accounts
                .store
                .set(object.namespace(), object.name(), account);
        }
        Event::Delete(object) => {
            accounts.store.set(object.namespace(), object.name(), None);
        }
    }
}
