//! Keeps the store up to date with the cluster.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy, watcher};
use kube::{Api, Client};
use tracing::{info, warn};

use super::Accounts;
use super::object::Object;
use crate::reason::watch_reason;

/// Watches for ever. After an error or a gap it lists again, and serves the old accounts meanwhile.
///
/// With `lists_as_streams` it requests the list as a stream of events, which costs both sides least
/// (KEP-3157). Otherwise, and when the API server refuses, the list comes in pages.
pub async fn run(client: Client, accounts: Arc<Accounts>, lists_as_streams: bool) {
    let pages = watcher::Config::default().page_size(PAGE);
    if lists_as_streams {
        follow(&client, &accounts, pages.clone().streaming_lists()).await;
        info!("the API server does not list as a stream: service accounts come in pages");
    }
    follow(&client, &accounts, pages).await;
}

/// Returns only when the API server refuses to list as a stream.
async fn follow(client: &Client, accounts: &Accounts, config: watcher::Config) {
    let is_stream = config.initial_list_strategy == InitialListStrategy::StreamingList;
    let api: Api<Object> = Api::all(client.clone());
    let mut events = pin!(watcher(api, config).default_backoff());
    // An error is logged once, not at every attempt.
    let mut is_logged = false;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) if is_stream && is_refused(&error) => return,
            Err(error) => {
                accounts.watch_failed();
                if !is_logged {
                    let error = watch_reason(&error);
                    warn!(error, "service accounts cannot be watched, trying again");
                }
                is_logged = true;
                continue;
            }
        };
        if !matches!(event, Event::Init) {
            accounts.watch_succeeded();
        }
        let is_beginning = matches!(event, Event::Init | Event::InitApply(_));
        if is_logged && !is_beginning {
            info!("service accounts are watched again");
            is_logged = false;
        }
        apply(event, accounts);
    }
}

/// Whether streaming lists are unsupported: by the API server's version or feature gates (422), or
/// because its etcd is too old (500, inside the stream). 401, 403, 410 and 429 do not mean that.
#[must_use]
pub fn is_refused(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    !matches!(status.code, 401 | 403 | 410 | 429)
}

/// A list is used while it arrives. Accounts that it does not contain are forgotten at its end.
fn apply(event: Event<Object>, accounts: &Accounts) {
    let store = &accounts.store;
    match event {
        Event::Init => store.begin(),
        Event::InitApply(object) => {
            let account = object.fields.account.as_ref();
            store.add(object.namespace(), object.name(), account);
        }
        Event::InitDone => {
            store.complete();
            info!(annotated = accounts.count(), "service accounts are listed");
            if store.is_full() {
                warn!(
                    "more annotated service accounts than fit into memory: the others are looked up \
                     at the API server for each pod"
                );
            }
        }
        Event::Apply(object) => {
            let account = object.fields.account.as_ref();
            store.set(object.namespace(), object.name(), account);
        }
        Event::Delete(object) => store.set(object.namespace(), object.name(), None),
    }
}

/// Accounts in a page. A page costs the API server and etcd as much as hundreds of accounts; reviews wait
/// while it is parsed. [`crate::api_server`] cuts each account in it down to a few hundred bytes.
const PAGE: u32 = 1_000;
