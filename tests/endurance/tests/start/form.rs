//! The forms of injection that are compared.

use contract::annotation;
use contract::container::{PROXY, PROXY_INIT};
use e2e::{Container, Namespace, Pod};
use serde_json::{Value, json};

/// The way in which a pod gets its tokens.
pub struct Form {
    /// Its name in the table.
    pub name: &'static str,
    /// The pod, without a name. The API server calls the webhook for those with the label.
    pub pod: Value,
}

impl Form {
    /// All forms, the pod without an identity first.
    pub async fn all(namespace: &Namespace) -> Vec<Self> {
        let redirect = application(Some(METADATA)).with_proxy();
        let environment = application(Some(PROXY_ADDRESS))
            .with_proxy()
            .annotate(annotation::PROXY_MODE, "environment");
        let injected = namespace.dry_run(&redirect.manifest()).await;
        let injected_environment = namespace.dry_run(&environment.manifest()).await;
        [
            (BARE, application(None).without_label().manifest()),
            ("with the token alone", application(None).manifest()),
            ("with the sidecar", redirect.manifest()),
            (
                "with the sidecar, mode `environment`",
                environment.manifest(),
            ),
            ("with a plain sidecar", plain(injected.clone())),
            (
                "with a plain sidecar, mode `environment`",
                plain(injected_environment),
            ),
            ("in upstream's form", upstream(injected)),
        ]
        .map(|(name, pod)| Self { name, pod })
        .into()
    }
}

/// The pod that others are compared with.
pub const BARE: &str = "alone";

const METADATA: &str = "169.254.169.254:80";
const PROXY_ADDRESS: &str = "127.0.0.1:8000";

fn application(token_from: Option<&str>) -> Pod {
    let container = Container::new("app", &["/first"]).mount("first", "/first");
    let container = match token_from {
        Some(address) => container.env("FIRST_TOKEN_FROM", address),
        None => container,
    };
    let program = json!({ "path": env!("CARGO_BIN_EXE_first"), "type": "File" });
    Pod::new("start")
        .volume(json!({ "name": "first", "hostPath": program }))
        .container(container)
}

/// An injected pod whose proxy is its first container, as for API servers before 1.32.
fn plain(injected: Value) -> Value {
    let mut pod = without_label(injected);
    let mut proxy = take(&mut pod, PROXY);
    proxy
        .as_object_mut()
        .expect("a container")
        .remove("restartPolicy");
    list(&mut pod, "containers").insert(0, proxy);
    pod
}

/// An injected pod in azure-workload-identity's order: the proxy first, the redirect last.
fn upstream(injected: Value) -> Value {
    let mut pod = without_label(injected);
    let redirect = take(&mut pod, PROXY_INIT);
    list(&mut pod, "initContainers").push(redirect);
    pod
}

/// The pod as a manifest that the webhook is not called for, so that it stays as it is.
fn without_label(injected: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": injected["spec"] })
}

fn take(pod: &mut Value, name: &str) -> Value {
    let containers = list(pod, "initContainers");
    let found = containers.iter().position(|it| it["name"] == name);
    containers.remove(found.expect("the webhook has injected it"))
}

fn list<'a>(pod: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    pod["spec"][name].as_array_mut().expect("a list")
}
