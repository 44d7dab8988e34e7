//! Containers that request tokens from IMDS without a pause and count the answers: `hammer.py`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use serde_json::json;

use crate::{Container, Namespace, Pod, until};

/// A container that sends `count` requests; without a count, until [`stop_hammers`]. Each request
/// contains `mark`.
pub fn hammer(name: &str, mark: &str, count: &str) -> Container {
    let mut command = vec!["/usr/bin/python3", "-ISu", "/hammer.py", mark];
    command.extend((!count.is_empty()).then_some(count));
    Container::new(name, &command)
        .mount("hammer", "/hammer.py")
        .writable_mount("signal", "/signal")
}

/// Adds the volumes of such containers to the pod.
#[must_use]
pub fn with_hammer(pod: Pod) -> Pod {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/hammer.py");
    pod.volume(json!({ "name": "signal", "emptyDir": {} }))
        .volume(json!({ "name": "hammer", "hostPath": { "path": script, "type": "File" } }))
}

/// Stops all such containers of a pod, by a command in `container`, one of them.
pub async fn stop_hammers(namespace: &Namespace, pod: &str, container: &str) {
    namespace.exec(pod, container, "touch /signal/stop").await;
}

/// The counts of a stopped container, by answer.
///
/// # Panics
///
/// When it does not print them in time.
pub async fn counts(namespace: &Namespace, pod: &str, container: &str) -> BTreeMap<String, u64> {
    let (counts, _) = line(namespace, pod, container, |line| line.starts_with('{')).await;
    serde_json::from_str(&counts).expect("the last line is JSON")
}

/// Waits until a container logs this change of its answers, and returns its log so far.
///
/// # Panics
///
/// When it does not in time.
pub async fn sees(namespace: &Namespace, pod: &str, container: &str, what: &str) -> String {
    let (_, log) = line(namespace, pod, container, |line| line == what).await;
    log
}

/// The statuses of a pod's containers of all kinds.
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
    let last = |log: &String| {
        log.lines()
            .rev()
            .find(|line| wanted(line))
            .map(str::to_owned)
    };
    let read = async || namespace.log(pod, container).await;
    let log = until(&format!("a line of {container}"), read, |log| {
        last(log).is_some()
    })
    .await;
    (last(&log).expect("it was waited for"), log)
}

fn has_started(pod: &v1::Pod, container: &str) -> bool {
    statuses(pod).any(|status| {
        let state = status.state.as_ref();
        status.name == container
            && state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}
