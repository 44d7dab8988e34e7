//! Keeps the pods in memory up to date with the cluster.

use std::pin::pin;
use std::sync::Arc;

use contract::label;
use futures_util::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy, watcher};
use kube::{Api, Client};
use tracing::{info, warn};
use webhook::accounts::watch::is_refused;
use webhook::reason::watch_reason;

use super::pod::Pod;
use super::policy::Policy;
use super::store::{Key, Pods};
use super::watched::Watched;

/// Watches for ever. After an error or a gap it lists again, and serves the old pods meanwhile.
///
/// With `lists_as_streams` it requests the list as a stream of events, so that one pod at a time is in memory.
/// Otherwise, and when the API server refuses, the list comes in pages of one.
pub(super) async fn run(client: Client, pods: Arc<Pods>, policy: Arc<Policy>, streams: bool) {
    let labelled = format!("{}=true", label::USE);
    let pages = watcher::Config::default().labels(&labelled).page_size(PAGE);
    if streams {
        follow(&client, &pods, &policy, pages.clone().streaming_lists()).await;
        info!("the API server does not list as a stream: pods come in pages");
    }
    follow(&client, &pods, &policy, pages).await;
}

/// Returns only when the API server refuses to list as a stream.
async fn follow(client: &Client, pods: &Pods, policy: &Policy, config: watcher::Config) {
    let is_stream = config.initial_list_strategy == InitialListStrategy::StreamingList;
    let api: Api<Watched> = Api::all(client.clone());
    let mut events = pin!(watcher(api, config).default_backoff());
    // An error is logged once, not at every attempt.
    let mut is_logged = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let is_beginning = matches!(event, Event::Init | Event::InitApply(_));
                apply(event, pods, policy);
                if !is_beginning {
                    pods.set_failing(false);
                    if std::mem::take(&mut is_logged) {
                        info!("pods are watched again");
                    }
                }
            }
            Err(error) if is_stream && is_refused(&error) => return,
            Err(error) => {
                pods.set_failing(true);
                if !std::mem::replace(&mut is_logged, true) {
                    let error = watch_reason(&error);
                    warn!(error, "pods cannot be watched, trying again");
                }
            }
        }
    }
}

fn apply(event: Event<Watched>, pods: &Pods, policy: &Policy) {
    match event {
        Event::Init => pods.begin(),
        Event::InitApply(pod) | Event::Apply(pod) => pods.put(key(&pod), Pod::read(&pod, policy)),
        Event::Delete(pod) => pods.put(key(&pod), None),
        Event::InitDone => {
            let left_out = pods.complete();
            info!(pods = pods.count(), "labelled pods are listed");
            if left_out > 0 {
                warn!(
                    left_out,
                    "more labelled pods than fit into memory: the others are not audited"
                );
            }
        }
    }
}

fn key(pod: &Watched) -> Key {
    (pod.namespace().into(), pod.name().into())
}

/// Pods in a page, whose text is in memory three times. That of a pod can have 9 MiB: JSON needs six bytes for a control
/// character.
const PAGE: u32 = 1;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_what_the_watch_says() {
        let (pods, policy) = (Pods::default(), Policy::default());
        let pod = |name: &str| {
            let pod = json!({ "metadata": { "namespace": "prod", "name": name }, "spec": {} });
            serde_json::from_value::<Watched>(pod).unwrap()
        };
        let names = || {
            let mut names = Vec::new();
            pods.each(|key, _| names.push(key.1.to_string()));
            names.join(" ")
        };
        for (event, kept) in [
            (Event::Init, ""),
            (Event::InitApply(pod("a")), "a"),
            (Event::InitDone, "a"),
            (Event::Apply(pod("b")), "a b"),
            (Event::Delete(pod("a")), "b"),
            (Event::Init, "b"),
            (Event::InitApply(pod("c")), "b c"),
            (Event::InitDone, "c"),
        ] {
            let shown = format!("{event:?}");
            apply(event, &pods, &policy);
            assert_eq!(names(), kept, "{shown}");
        }
    }
}
