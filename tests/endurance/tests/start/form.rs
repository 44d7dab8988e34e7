//! The forms of injection that are compared.

use contract::container::{PROXY, PROXY_INIT};
use e2e::Namespace;
use endurance::{alone, in_mode_environment, with_sidecar, with_token};
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
        let redirect = with_sidecar(FIRST);
        let environment = in_mode_environment(FIRST);
        let injected = namespace.dry_run(&redirect.manifest()).await;
        let injected_environment = namespace.dry_run(&environment.manifest()).await;
        [
            (BARE, alone(FIRST).manifest()),
            ("with the token alone", with_token(FIRST).manifest()),
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
            ("in upstream's form", in_upstreams_form(injected.clone())),
            ("of upstream 1.6.0", upstream(injected)),
        ]
        .map(|(name, pod)| Self { name, pod })
        .into()
    }
}

/// The pod that others are compared with.
pub const BARE: &str = "alone";

/// Where tests/neighbours/upstream/images puts upstream's images.
const UPSTREAMS_IMAGES: &str = "mcr.microsoft.com/oss/azure/workload-identity";

const FIRST: &str = env!("CARGO_BIN_EXE_first");

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

/// The pod that azure-workload-identity 1.6.0 makes, with its own images.
fn upstream(injected: Value) -> Value {
    let mut pod = in_upstreams_form(injected);
    let [proxy, redirect] = &mut list(&mut pod, "initContainers")[..] else {
        panic!("not the two injected containers")
    };
    *proxy = json!({
        "name": PROXY,
        "image": format!("{UPSTREAMS_IMAGES}/proxy:v1.6.0"),
        "args": ["--proxy-port=8000", "--log-level=info"],
        "ports": [{ "containerPort": 8000 }],
        "restartPolicy": "Always",
        "lifecycle": { "postStart": { "exec": {
            "command": ["/proxy", "--proxy-port=8000", "--probe", "--log-level=info"],
        } } },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
        },
        "env": proxy["env"],
        "volumeMounts": proxy["volumeMounts"],
    });
    *redirect = json!({
        "name": PROXY_INIT,
        "image": format!("{UPSTREAMS_IMAGES}/proxy-init:v1.6.0"),
        "env": [{ "name": "PROXY_PORT", "value": "8000" }],
        "securityContext": {
            "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] },
            "privileged": true,
            "runAsNonRoot": false,
            "runAsUser": 0,
        },
    });
    pod
}

/// An injected pod in azure-workload-identity's order: the proxy first, the redirect last.
fn in_upstreams_form(injected: Value) -> Value {
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
