//! An injected pod never gets the node's identity (law 1): not in any kind of container, from its
//! first moment on, and not while the proxy is down.

use std::collections::BTreeMap;

use azure_emulator::{NODE_CLIENT_ID, Service};
use contract::annotation;
use contract::container::{PROXY, PROXY_INIT};
use e2e::hammer::{counts, hammer, sees, statuses, stop_hammers, with_hammer};
use e2e::{Identity, Namespace, Pod, control, in_plain_form, redirect};
use k8s_openapi::api::core::v1;
use serde_json::json;

const POD: &str = "hammer";
/// Opens connections with unfinished headers until the proxy is gone.
const HOG: &str = "exec python3 -Ic '
import socket
connections = []
try:
    while len(connections) < 2000:
        connection = socket.create_connection((\"169.254.169.254\", 80), timeout=10)
        connections.append(connection)
        connection.sendall(b\"GET / HTTP/1.1\\r\\nX: \" + b\"x\" * 7900)
except OSError as error:
    print(len(connections), error)
'";

/// The containers that send requests without a pause. `kubectl debug` adds `debugger` later.
const LASTING: [&str; 3] = ["sidecar", "app", "debugger"];

#[tokio::test]
async fn a_native_sidecar_never_exposes_the_node() {
    let hammered = Hammered::start("native-law", |pod| pod).await;
    hammered.restart_the_proxy("SIGTERM").await;
    // The proxy started before them, so no container saw a refused connection at its start.
    hammered.assert_workload_alone("early", false).await;
    hammered.finish().await;
}

#[tokio::test]
async fn a_plain_proxy_never_exposes_the_node() {
    let hammered = Hammered::start("plain-law", |pod| {
        in_plain_form(pod, redirect(PROXY_INIT)).field("restartPolicy", json!("Always"))
    })
    .await;
    // After a SIGTERM the proxy would still serve.
    hammered.restart_the_proxy("SIGKILL").await;
    hammered.finish().await;
}

#[tokio::test]
async fn a_proxy_out_of_memory_never_exposes_the_node() {
    let hammered = Hammered::start("memory-law", |pod| {
        pod.annotate(annotation::PROXY_MEMORY_LIMIT, "8Mi")
    })
    .await;
    let connections = hammered.namespace.exec(POD, "app", HOG);
    let killed = hammered
        .namespace
        .until(POD, |pod| was_killed_for_its_memory(pod, PROXY));
    // How the memory hog ends does not matter.
    tokio::join!(killed, connections);
    hammered.sees("app", &hammered.identity.client_id).await;
    hammered.finish().await;
}

#[tokio::test]
async fn a_new_pod_network_never_exposes_the_node() {
    let hammered = Hammered::start("sandbox-law", |pod| {
        pod.field("restartPolicy", json!("Always"))
    })
    .await;
    hammered.namespace.kill_sandbox(POD).await;
    hammered
        .namespace
        .until(POD, |pod| restarts(pod, "app") > 0)
        .await;
    hammered.sees("app", &hammered.identity.client_id).await;
    hammered.finish().await;
}

/// A pod whose containers hammer IMDS.
struct Hammered {
    namespace: Namespace,
    identity: Identity,
}

impl Hammered {
    async fn start(test: &str, form: impl Fn(Pod) -> Pod) -> Self {
        let (namespace, identity) = Namespace::with_identity(test).await;
        let mark = namespace.name();
        let sidecar = hammer("sidecar", mark, "").field("restartPolicy", json!("Always"));
        let pod = form(with_hammer(Pod::new(POD).with_proxy()))
            .init_container(sidecar)
            .init_container(hammer("early", mark, "100"))
            .container(hammer("app", mark, ""));
        namespace.apply(&pod.manifest()).await;
        let hammered = Self {
            namespace,
            identity,
        };
        hammered.sees("app", &hammered.identity.client_id).await;
        hammered
    }

    /// Stops, kills and terminates the proxy. After the last, the kubelet waits before it restarts the
    /// container, so there is no proxy for a while.
    async fn restart_the_proxy(&self, last: &str) {
        let mark = self.namespace.name();
        self.namespace
            .debug(POD, hammer("debugger", mark, ""))
            .await;
        self.sees("debugger", &self.identity.client_id).await;
        self.namespace.signal(POD, PROXY, "SIGSTOP").await;
        self.sees("app", "TimeoutError").await;
        self.namespace.kill(POD, PROXY).await;
        self.namespace.end(POD, PROXY, last).await;
        self.sees("app", "ConnectionRefusedError").await;
    }

    /// Stops the containers. Asserts that no answer was the node's and that the node's IMDS got no
    /// request.
    async fn finish(&self) {
        stop_hammers(&self.namespace, POD, "app").await;
        let pod = self.namespace.until(POD, |_| true).await;
        let debugged = pod
            .spec
            .is_some_and(|spec| spec.ephemeral_containers.is_some());
        self.assert_no_other("early").await;
        for container in LASTING
            .into_iter()
            .filter(|name| debugged || *name != "debugger")
        {
            self.assert_workload_alone(container, true).await;
        }
        let asked = control()
            .requests(Some(Service::Imds))
            .await
            .expect("the emulator lists its requests");
        let marked = asked
            .iter()
            .filter(|request| request.target.contains(self.namespace.name()));
        assert_eq!(marked.count(), 0, "the node's own IMDS was asked");
    }

    /// Waits until a container logs this change of its answers.
    async fn sees(&self, container: &str, what: &str) {
        let log = sees(&self.namespace, POD, container, what).await;
        assert!(
            !log.contains(NODE_CLIENT_ID),
            "{container} got the node's identity: {log}"
        );
    }

    /// Asserts that every token was the workload's, and returns the counts by answer.
    async fn assert_no_other(&self, container: &str) -> BTreeMap<String, u64> {
        let seen = counts(&self.namespace, POD, container).await;
        for what in seen.keys() {
            let known = [
                "ConnectionRefusedError",
                "ConnectionResetError",
                "TimeoutError",
                "no answer",
                &self.identity.client_id,
            ];
            assert!(
                known.contains(&what.as_str()) || what.starts_with("HTTP/1.1 503"),
                "{container}: {seen:?}"
            );
        }
        seen
    }

    /// Asserts that the container got the workload's token and no other, without failures unless
    /// `at_times_nothing`.
    async fn assert_workload_alone(&self, container: &str, at_times_nothing: bool) {
        let seen = self.assert_no_other(container).await;
        assert!(
            seen.contains_key(&self.identity.client_id),
            "{container}: {seen:?}"
        );
        assert!(at_times_nothing || seen.len() == 1, "{container}: {seen:?}");
    }
}

fn was_killed_for_its_memory(pod: &v1::Pod, container: &str) -> bool {
    statuses(pod)
        .filter(|status| status.name == container)
        .filter_map(|status| status.last_state.as_ref()?.terminated.as_ref())
        .any(|ended| ended.reason.as_deref() == Some("OOMKilled"))
}

fn restarts(pod: &v1::Pod, container: &str) -> i32 {
    let found = statuses(pod).find(|status| status.name == container);
    found.map_or(0, |status| status.restart_count)
}
