//! A namespace for one test, with a service account that Entra trusts.

use std::io::{Write, stderr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use contract::container::PROXY;
use contract::{annotation, variable};
use k8s_openapi::api::core::v1;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::installed::DEADLINE;
use crate::{
    Container, Identity, Pod, kubectl, kubectl_error, kubectl_retrying, task, try_kubectl,
};

/// A namespace that one test has to itself. Dropping it prints the duration of the test.
pub struct Namespace {
    name: String,
    since: Instant,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let seconds = self.since.elapsed().as_secs_f64();
        // Directly to standard error: the test harness hides the output of tests that pass.
        let _ = writeln!(stderr(), "{:6.1} s  {}", seconds, self.name);
    }
}

/// A pod that ran to its end.
pub struct Finished {
    /// `Succeeded` or `Failed`, without a plain sidecar.
    pub phase: String,
    /// The pod as the API server has it.
    pub pod: v1::Pod,
}

impl Namespace {
    /// Makes a namespace, and in it the service account `app` with an identity of its own.
    pub async fn with_identity(test: &str) -> (Self, Identity) {
        let namespace = Self::new(test).await;
        let identity = Identity::register(&namespace, "app").await;
        namespace.service_account("app", &identity.client_id).await;
        (namespace, identity)
    }

    /// Makes a namespace with the default service account alone.
    pub async fn new(test: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{test}-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let since = Instant::now();
        kubectl(&["create", "namespace", &name]).await;
        Self { name, since }
    }

    /// The namespace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes an annotated service account.
    pub async fn service_account(&self, name: &str, client_id: &str) {
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": name, "annotations": { annotation::CLIENT_ID: client_id } },
        }))
        .await;
    }

    /// Applies a manifest, and returns kubectl's output, warnings included.
    pub async fn apply(&self, manifest: &Value) -> String {
        kubectl_retrying(
            &["apply", "-n", &self.name, "-f", "-"],
            &manifest.to_string(),
        )
        .await
    }

    /// Creates an object as a dry run, and returns it as the API server would store it.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn dry_run(&self, manifest: &Value) -> Value {
        let created = self.try_dry_run(manifest).await;
        created.unwrap_or_else(|error| panic!("refused: {error}"))
    }

    /// Creates an object as a dry run, and returns it as the API server would store it.
    ///
    /// # Errors
    ///
    /// kubectl's error, when it is refused.
    pub async fn try_dry_run(&self, manifest: &Value) -> Result<Value, String> {
        let create = [
            "create",
            "--dry-run=server",
            "-o",
            "json",
            "-n",
            &self.name,
            "-f",
            "-",
        ];
        let printed = try_kubectl(&create, &manifest.to_string()).await?;
        Ok(serde_json::from_str(&printed).expect("kubectl prints JSON"))
    }

    /// The client id that a pod of the service account `app` would get now; `None` while it would be
    /// refused, or admitted without one.
    pub async fn client_id_of_a_pod(&self) -> Option<String> {
        let pod = Pod::new("pod").container(Container::shell("app", "true"));
        let pod = self.try_dry_run(&pod.manifest()).await.ok()?;
        let variables = pod["spec"]["containers"][0]["env"].as_array()?.iter();
        let mut values = variables.filter(|it| it["name"] == variable::CLIENT_ID);
        values.next()?["value"].as_str().map(str::to_owned)
    }

    /// Applies a manifest that must be refused; returns kubectl's error.
    pub async fn refused(&self, manifest: &Value) -> String {
        kubectl_error(
            &["apply", "-n", &self.name, "-f", "-"],
            &manifest.to_string(),
        )
        .await
    }

    /// Runs a pod to its end.
    pub async fn run(&self, pod: &Pod) -> Finished {
        self.apply(&pod.manifest()).await;
        self.finished(pod.name()).await
    }

    /// Runs a pod that must succeed without a warning.
    ///
    /// # Panics
    ///
    /// When it fails: with its description and logs.
    pub async fn run_to_success(&self, pod: &Pod) -> Finished {
        let printed = self.apply(&pod.manifest()).await;
        assert!(!printed.contains("Warning"), "{printed}");
        let finished = self.finished(pod.name()).await;
        if finished.phase != "Succeeded" {
            panic!(
                "{} {}:\n{}",
                pod.name(),
                finished.phase,
                self.evidence(pod.name()).await
            );
        }
        finished
    }

    /// Waits until a pod has finished. Beside a plain sidecar, which does not end by itself, that are its other
    /// containers.
    pub async fn finished(&self, pod: &str) -> Finished {
        let pod = self.until(pod, |pod| outcome(pod).is_some()).await;
        Finished {
            phase: outcome(&pod).unwrap_or_default().to_owned(),
            pod,
        }
    }

    /// Waits until a pod is as wanted.
    ///
    /// # Panics
    ///
    /// When the deadline passes: with the pod's description and logs.
    pub async fn until(&self, pod: &str, wanted: impl Fn(&v1::Pod) -> bool) -> v1::Pod {
        let client = Client::try_default()
            .await
            .expect("KUBECONFIG is the node's");
        let pods: Api<v1::Pod> = Api::namespaced(client, &self.name);
        let condition =
            await_condition(pods, pod, |pod: Option<&v1::Pod>| pod.is_some_and(&wanted));
        match timeout(DEADLINE, condition).await {
            Ok(found) => found
                .expect("the API server can be watched")
                .expect("the pod exists"),
            Err(_) => panic!(
                "{pod} took over {DEADLINE:?}:\n{}",
                self.evidence(pod).await
            ),
        }
    }

    /// Waits with `kubectl wait --for=CONDITION`.
    pub async fn wait(&self, object: &str, condition: &str) {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        let condition = format!("--for={condition}");
        kubectl(&["wait", "-n", &self.name, object, &condition, &timeout]).await;
    }

    /// Waits until a container has ended, and returns its exit code.
    pub async fn container_ended(&self, pod: &str, container: &str) -> i32 {
        let pod = self
            .until(pod, |pod| exit_code(pod, container).is_some())
            .await;
        exit_code(&pod, container).expect("it was waited for")
    }

    /// Kills a running container, as the kernel does when memory runs out, and waits until the
    /// kubelet has restarted it.
    pub async fn kill(&self, pod: &str, container: &str) {
        self.end(pod, container, "SIGKILL").await;
    }

    /// Ends a running container with a signal, and waits until the kubelet has restarted it.
    pub async fn end(&self, pod: &str, container: &str, signal: &str) {
        let restarts = self.signal(pod, container, signal).await;
        self.until(pod, |pod| {
            running(pod, container).is_some_and(|(_, now)| now > restarts)
        })
        .await;
    }

    /// Sends a signal to a running container, and returns its restart count before that.
    pub async fn signal(&self, pod: &str, container: &str, signal: &str) -> i32 {
        let before = self
            .until(pod, |pod| running(pod, container).is_some())
            .await;
        let (id, restarts) = running(&before, container).expect("it was waited for");
        task::signal(&id, signal).await;
        restarts
    }

    /// The process id of a running container, on the node.
    pub async fn pid(&self, pod: &str, container: &str) -> u32 {
        let pod = self
            .until(pod, |pod| running(pod, container).is_some())
            .await;
        let (id, _) = running(&pod, container).expect("it was waited for");
        task::pid(&id).await
    }

    /// Kills a pod's sandbox, and its network with it. The kubelet makes a new one.
    pub async fn kill_sandbox(&self, pod: &str) {
        let label = |name: &str, value: &str| format!("labels.\"{name}\"=={value}");
        let filter = [
            label("io.kubernetes.pod.namespace", &self.name),
            label("io.kubernetes.pod.name", pod),
            label("io.cri-containerd.kind", "sandbox"),
        ]
        .join(",");
        let found = Command::new("ctr")
            .args(["--namespace", "k8s.io", "containers", "list", "--quiet"])
            .arg(filter)
            .output()
            .await
            .expect("ctr is on the test node");
        let id = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        task::signal(&id, "SIGKILL").await;
    }

    /// Runs a line of shell in a container, once it runs.
    pub async fn exec(&self, pod: &str, container: &str, line: &str) -> String {
        self.until(pod, |pod| running(pod, container).is_some())
            .await;
        kubectl(&[
            "exec", "-n", &self.name, pod, "-c", container, "--", "/bin/sh", "-c", line,
        ])
        .await
    }

    /// A container's log.
    pub async fn log(&self, pod: &str, container: &str) -> String {
        kubectl(&["logs", "-n", &self.name, pod, "-c", container]).await
    }

    /// The lines of a container's log, each with the time at which the runtime received it.
    pub async fn timed_log(&self, pod: &str, container: &str) -> Vec<(Timestamp, String)> {
        let log = [
            "logs",
            "--timestamps",
            "-n",
            &self.name,
            pod,
            "-c",
            container,
        ];
        let log = kubectl(&log).await;
        let lines = log.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(time, text)| (time.parse().expect("the runtime's time"), text.to_owned()))
            .collect()
    }

    async fn evidence(&self, pod: &str) -> String {
        let description = kubectl(&["describe", "pod", "-n", &self.name, pod]).await;
        let logs = [
            "logs",
            "-n",
            &self.name,
            pod,
            "--all-containers",
            "--prefix",
            "--ignore-errors",
        ];
        format!("{description}\n{}", kubectl(&logs).await)
    }
}

/// The id and the restart count of a container that is running and started.
fn running(pod: &v1::Pod, container: &str) -> Option<(String, i32)> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let found = lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|found| found.name == container)?;
    found.state.as_ref()?.running.as_ref()?;
    let id = found.container_id.as_ref()?.strip_prefix("containerd://")?;
    found.started?.then(|| (id.to_owned(), found.restart_count))
}

fn exit_code(pod: &v1::Pod, container: &str) -> Option<i32> {
    let statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
    let mut found = statuses.filter(|found| found.name == container);
    Some(found.next()?.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// The phase of a pod that has finished.
fn outcome(pod: &v1::Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    if let Some(phase @ ("Succeeded" | "Failed")) = status.phase.as_deref() {
        return Some(phase);
    }
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let (plain, others): (Vec<_>, Vec<_>) = containers.iter().partition(|it| it.name == PROXY);
    let never = pod.spec.as_ref()?.restart_policy.as_deref() == Some("Never");
    if plain.is_empty() || !never {
        return None;
    }
    let codes: Option<Vec<_>> = others
        .into_iter()
        .map(|it| Some(it.state.as_ref()?.terminated.as_ref()?.exit_code))
        .collect();
    let succeeded = codes?.iter().all(|code| *code == 0);
    Some(if succeeded { "Succeeded" } else { "Failed" })
}
