//! The installed webhook, as its operator sees it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use serde_json::Value;
use testkit::poll;
use tokio::process::Command;

use crate::{TENANT, kubectl, kubectl_json};

/// The namespace that the chart is installed in.
pub const SYSTEM_NAMESPACE: &str = "azure-workload-identity-system";
/// The name of the installed webhook configuration.
pub const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// The installed Deployment.
pub const DEPLOYMENT: &str = "deployment/azure-wi-webhook-controller-manager";
/// The Secret with the webhook's certificate authority.
pub const SECRET: &str = "azure-wi-webhook-server-cert";

/// Runs kubectl in the webhook's namespace.
pub async fn system(args: &[&str]) -> String {
    kubectl(&[&["--namespace", SYSTEM_NAMESPACE], args].concat()).await
}

/// Runs `kubectl ARGS -o json` in the webhook's namespace and returns the object.
pub async fn system_json(args: &[&str]) -> Value {
    kubectl_json(&[&["--namespace", SYSTEM_NAMESPACE], args].concat()).await
}

/// The webhook's pods that are not terminating.
pub async fn replicas() -> Vec<v1::Pod> {
    let selector = "azure-workload-identity.io/system=true";
    let mut list = system_json(&["get", "pods", "-l", selector]).await;
    let pods: Vec<v1::Pod> =
        serde_json::from_value(list["items"].take()).expect("kubectl prints pods");
    pods.into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect()
}

/// The metrics of all replicas: the sum of each sample, by name and labels.
pub async fn metrics() -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for pod in replicas().await {
        let name = name(pod);
        let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{name}:8095/proxy/metrics");
        let text = kubectl(&["get", "--raw", &path]).await;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
            let value: f64 = value.parse().expect("a sample is a number");
            *sums.entry(sample.to_owned()).or_default() += value;
        }
    }
    sums
}

/// Sets values of the chart, and waits until the new pods are ready and the old ones have ended.
///
/// # Panics
///
/// When helm fails: with its error.
pub async fn helm_upgrade(values: &[&str]) {
    let before = replicas().await;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut helm = Command::new("helm");
    helm.current_dir(root)
        .args(["upgrade", "azure-workload-identity", "deploy/chart"])
        .args(["--namespace", SYSTEM_NAMESPACE, "--reuse-values"])
        .args(["--wait", "--timeout", "3m"])
        .args(values);
    let output = helm.output().await.expect("helm is on the test node");
    assert!(
        output.status.success(),
        "helm upgrade {values:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let after: Vec<_> = replicas().await.into_iter().map(name).collect();
    for old in before.into_iter().map(name) {
        if !after.contains(&old) {
            let pod = format!("pod/{old}");
            system(&["wait", "--for=delete", &pod, "--timeout=120s"]).await;
        }
    }
}

/// The webhook's configuration as the chart renders it, and as GitOps tools apply it repeatedly.
///
/// # Panics
///
/// When helm fails.
pub async fn configuration_of_the_chart() -> String {
    let mut helm = Command::new("helm");
    helm.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .args(["template", "azure-workload-identity", "deploy/chart"])
        .args([
            "--namespace",
            SYSTEM_NAMESPACE,
            "--set",
            &format!("azureTenantID={TENANT}"),
        ])
        .args(["--show-only", "templates/mutatingwebhookconfiguration.yaml"]);
    let output = helm.output().await.expect("helm is on the test node");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("helm prints text")
}

/// Restarts the API server, and waits until it is ready.
///
/// # Panics
///
/// When the script fails.
pub async fn restart_api_server() {
    restart("kube-apiserver").await;
}

/// Ends a component, and waits until it runs again and the API server is ready.
///
/// # Panics
///
/// When the script fails.
pub(crate) async fn restart(component: &str) {
    let script = "before=$(pidof \"$0\")
        kill $before
        tail --pid $before --follow /dev/null
        until pidof \"$0\" && kubectl get --raw /readyz; do sleep 0.1; done >/dev/null 2>&1";
    let mut shell = Command::new("sh");
    let status = shell.args(["-euc", script, component]).status().await;
    assert!(status.expect("sh starts").success());
}

/// The container id of a pod that has one container, such as a replica of the webhook.
///
/// # Panics
///
/// When the container does not run.
pub fn container_id(pod: &v1::Pod) -> String {
    let status = pod
        .status
        .as_ref()
        .and_then(|it| it.container_statuses.as_ref());
    let id = status
        .and_then(|it| it.first())
        .and_then(|it| it.container_id.as_deref());
    let id = id.and_then(|id| id.strip_prefix("containerd://"));
    id.expect("a replica runs in containerd").to_owned()
}

fn name(pod: v1::Pod) -> String {
    pod.metadata.name.expect("a pod has a name")
}

/// As [`testkit::poll::until`], with the deadline of what happens on the node.
///
/// # Panics
///
/// When the deadline passes: with the last answer.
pub async fn until<T: Debug>(
    what: &str,
    ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    poll::until_within(DEADLINE, what, ask, wanted).await
}

/// How long a change on the node may take: it starts processes, and the machine is slow at times.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
