//! The pod that a client runs in.

use contract::annotation;
use e2e::client::{self, client_volume, with_common_volumes};
use e2e::{Container, Identity, Namespace, PROXY_IMAGE, Pod};
use serde_json::json;

/// The container without Workload ID's variables: it has IMDS alone.
pub const BARE: &str = "bare";
/// The container with Workload ID's variables.
pub const WITH_VARIABLES: &str = "with-variables";

/// The pod's name.
pub const NAME: &str = "client";
/// The volume with the client.
pub const CLIENT: &str = "client";

/// A running pod with a client's folder at `/client`.
pub struct Examined {
    pub namespace: Namespace,
    pub identity: Identity,
}

/// How many requests the proxy has answered so far, by outcome.
pub struct Served {
    /// With a token after an exchange with Entra.
    pub entra: u64,
    /// With a cached token.
    pub memory: u64,
    /// With an error of the exchange.
    pub failed: u64,
    /// With the 400 that probes expect.
    pub probes: u64,
}

impl Examined {
    /// Starts the pod. The manifest has the proxy's container, as in Microsoft's migration guide, so
    /// that the proxy can serve its metrics.
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

    /// Starts a pod named [`NAME`] whose containers do not end.
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

    /// The proxy's request counters.
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
    let ca = std::fs::read_to_string(client::azure_ca()).expect("Azure's CA can be read");
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

/// A container that waits for commands.
pub fn application(name: &str, client: &str) -> Container {
    client::with_client(name, client, &["/usr/bin/sleep", "infinity"])
}

/// Adds the volumes of [`application`], with one client's folder as the volume [`CLIENT`].
pub fn with_client(pod: Pod, folder: &str) -> Pod {
    with_common_volumes(pod).volume(client_volume(CLIENT, folder))
}

/// Adds Azure's test CA where Node, Go, Java and Rust look for CAs.
pub fn trusting(container: Container) -> Container {
    ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]
        .into_iter()
        .fold(container, |container, name| {
            container.env(name, "/azure-ca.pem")
        })
}
