//! The pod that a client is examined in.

use contract::annotation;
use e2e::{Container, Identity, Namespace, PROXY_IMAGE, Pod};
use serde_json::{Value, json};

/// The container without Workload ID's variables: all that it has is IMDS.
pub const BARE: &str = "bare";
/// The container with them.
pub const WITH_VARIABLES: &str = "with-variables";

/// Its name.
pub const NAME: &str = "client";
/// The volume with the client.
pub const CLIENT: &str = "client";

/// A running pod with a client's folder at `/client`.
pub struct Examined {
    pub namespace: Namespace,
    pub identity: Identity,
}

/// How many requests the proxy has answered so far, and how.
pub struct Served {
    /// With a token that Entra was asked for.
    pub entra: u64,
    /// With a token that the proxy had.
    pub memory: u64,
    /// With an error, because Entra gave no token.
    pub failed: u64,
    /// With the 400 that probes expect.
    pub probes: u64,
}

impl Examined {
    /// Starts the pod. The proxy is written by hand, as in Microsoft's migration guide, so that it
    /// shows its metrics.
    pub async fn start(folder: &str) -> Self {
        let (namespace, identity) = Namespace::with_identity("sdk").await;
        let [redirect, proxy] = proxy();
        let pod = Pod::new(NAME)
            .annotate(annotation::SKIP_CONTAINERS, BARE)
            .init_container(redirect)
            .init_container(proxy)
            .container(application(BARE, CLIENT))
            .container(trusting(application(WITH_VARIABLES, CLIENT)));
        Self::run(namespace, identity, with_client(pod, folder)).await
    }

    /// Runs a pod of the name [`NAME`] whose containers all stay.
    pub async fn run(namespace: Namespace, identity: Identity, pod: Pod) -> Self {
        namespace.apply(&pod.manifest()).await;
        namespace
            .until(NAME, |pod| {
                let phase = pod
                    .status
                    .as_ref()
                    .and_then(|status| status.phase.as_deref());
                phase == Some("Running")
            })
            .await;
        Self {
            namespace,
            identity,
        }
    }

    /// What the proxy has done so far.
    pub async fn served(&self) -> Served {
        let metrics = self
            .namespace
            .exec(
                NAME,
                BARE,
                "curl --silent --fail http://127.0.0.1:9090/metrics",
            )
            .await;
        let count = |outcome: &str| -> u64 {
            let name = format!("azwi_proxy_requests_total{{outcome=\"{outcome}\"}} ");
            metrics
                .lines()
                .find_map(|line| line.strip_prefix(&name)?.parse().ok())
                .unwrap_or_else(|| panic!("no {name}in {metrics}"))
        };
        Served {
            entra: count("entra"),
            memory: count("memory") + count("stale"),
            failed: count("failed"),
            probes: count("probe") + count("refused"),
        }
    }
}

fn proxy() -> [Container; 2] {
    let ca = std::fs::read_to_string(variable("AZURE_CA_FILE")).expect("Azure's CA can be read");
    let redirect = Container::image("redirect", PROXY_IMAGE)
        .field("command", json!(["/proxy-init"]))
        .field(
            "securityContext",
            json!({ "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] }, "runAsUser": 0 }),
        );
    let proxy = Container::image("proxy", PROXY_IMAGE)
        .field("restartPolicy", json!("Always"))
        .field(
            "startupProbe",
            json!({ "exec": { "command": ["/proxy", "--probe"] }, "timeoutSeconds": 60 }),
        )
        .env("AZWI_METRICS_PORT", "9090")
        .env(contract::variable::CA_DATA, &ca);
    [redirect, proxy]
}

/// A container that waits for commands, with the client in a volume, and Python's way of trusting
/// Azure's CA.
pub fn application(name: &str, client: &str) -> Container {
    Container::new(name, &["/usr/bin/sleep", "infinity"])
        .env("HOME", "/tmp")
        .env("REQUESTS_CA_BUNDLE", "/azure-ca.pem")
        .mount(client, "/client")
        .mount("azure-ca", "/azure-ca.pem")
        .own_directory("temporary", "/tmp")
}

/// With the volumes of [`application`], of which there is one client in the volume [`CLIENT`].
pub fn with_client(pod: Pod, folder: &str) -> Pod {
    with_common_volumes(pod).volume(client_volume(CLIENT, folder))
}

/// With the volumes of [`application`] that do not depend on the client.
pub fn with_common_volumes(pod: Pod) -> Pod {
    pod.volume(host("azure-ca", &variable("AZURE_CA_FILE"), "File"))
        .volume(json!({ "name": "temporary", "emptyDir": {} }))
}

/// A volume with a client's folder.
pub fn client_volume(name: &str, folder: &str) -> Value {
    let path = format!("{}/clients/{folder}", variable("SDK_DIRECTORY"));
    host(name, &path, "Directory")
}

/// With Azure's test CA where Node, Go, Java and Rust look for one.
pub fn trusting(container: Container) -> Container {
    ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]
        .into_iter()
        .fold(container, |container, name| {
            container.env(name, "/azure-ca.pem")
        })
}

fn host(name: &str, path: &str, kind: &str) -> Value {
    json!({ "name": name, "hostPath": { "path": path, "type": kind } })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by tests/e2e/run"))
}
