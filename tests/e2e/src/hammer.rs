//! Containers that ask IMDS for tokens without a pause, and tell what they saw: `hammer.py`.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{Container, Namespace, Pod};

const DEADLINE: Duration = Duration::from_secs(180);

/// A container that asks so many times, or until [`stop_hammers`]. `mark` is in each request.
pub fn hammer(name: &str, mark: &str, count: &str) -> Container {
    let mut command = vec!["/usr/bin/python3", "-ISu", "/hammer.py", mark];
    command.extend((!count.is_empty()).then_some(count));
    Container::new(name, &command)
        .mount("hammer", "/hammer.py")
        .writable_mount("signal", "/signal")
}

/// The pod with the volumes of such containers.
#[must_use]
pub fn with_hammer(pod: Pod) -> Pod {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/hammer.py");
    pod.volume(json!({ "name": "signal", "emptyDir": {} }))
        .volume(json!({ "name": "hammer", "hostPath": { "path": script, "type": "File" } }))
}

/// Tells all of a pod to stop; `container` is one of them.
pub async fn stop_hammers(namespace: &Namespace, pod: &str, container: &str) {
    namespace.exec(pod, container, "touch /signal/stop").await;
}

/// How often a container that has been told to stop saw what.
///
/// # Panics
/// When it does not tell in time.
pub async fn counts(namespace: &Namespace, pod: &str, container: &str) -> BTreeMap<String, u64> {
    let (counts, _) = line(namespace, pod, container, |line| line.starts_with('{')).await;
    serde_json::from_str(&counts).expect("the last line is JSON")
}

/// Waits until a container sees something for the first time, or anew; its log so far.
///
/// # Panics
/// When it does not in time.
pub async fn sees(namespace: &Namespace, pod: &str, container: &str, what: &str) -> String {
    let (_, log) = line(namespace, pod, container, |line| line == what).await;
    log
}

/// What the kubelet tells of a pod's containers of all kinds.
pub fn statuses(pod: &v1::Pod) -> impl Iterator<Item = &v1::ContainerStatus> {
    let status = pod.status.as_ref();
    let lists = status.map(|status| {
        [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ]
    });
    lists.into_iter().flatten().flatten().flatten()
}

async fn line(
    namespace: &Namespace,
    pod: &str,
    container: &str,
    wanted: impl Fn(&str) -> bool,
) -> (String, String) {
    namespace
        .until(pod, |pod| has_started(pod, container))
        .await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let log = namespace.log(pod, container).await;
        if let Some(line) = log.lines().rev().find(|line| wanted(line)) {
            return (line.to_owned(), log.clone());
        }
        assert!(Instant::now() < deadline, "{container}: {log}");
        sleep(Duration::from_millis(200)).await;
    }
}

fn has_started(pod: &v1::Pod, container: &str) -> bool {
    statuses(pod).any(|status| {
        let state = status.state.as_ref();
        status.name == container
            && state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}
