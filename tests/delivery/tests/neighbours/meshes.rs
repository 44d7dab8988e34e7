//! Service meshes: pods with the redirect and a mesh's own init program. The mesh catches what the application sends,
//! except for its requests to IMDS.
//!
//! The webhook puts the redirect first. A mesh's network plugin writes its rules before any init container runs; the
//! mesh's init container at the front stands for that.

#[path = "meshes/mesh.rs"]
mod mesh;

use azure_emulator::Service;
use contract::container::{PROXY, PROXY_INIT};
use delivery::{empty, install};
use e2e::hammer::{hammer, statuses, with_hammer};
use e2e::sidecar::names;
use e2e::{Container, Identity, Namespace, Pod, claims, control, helm_upgrade, kubectl};
use serde_json::json;

use mesh::Mesh;

/// What Istio's init container chooses by itself, and what it can be made to use.
const ISTIO: [Mesh; 3] = [
    Mesh::istio(&[]),
    Mesh::istio(&["--force-iptables-binary=legacy"]),
    Mesh::istio(&["--native-nftables"]),
];

/// Linkerd's two values of `proxyInit.iptablesMode`, `legacy` and `nft`.
const LINKERD: [Mesh; 2] = [
    Mesh::linkerd(&[]),
    Mesh::linkerd(&[
        "--firewall-bin-path",
        "iptables-nft",
        "--firewall-save-bin-path",
        "iptables-nft-save",
    ]),
];

/// An address that the mesh catches: the API server's.
const ORDINARY: &str = "10.0.0.1:443";
const IMDS: &str = "169.254.169.254";
const ENTRA: &str = "198.51.100.10:443";

#[tokio::test]
async fn istio_catches_no_token_request_in_either_order_and_after_restarts() {
    catches_no_token_request(&ISTIO).await;
}

#[tokio::test]
async fn linkerd_catches_no_token_request_in_either_order_and_after_restarts() {
    catches_no_token_request(&LINKERD).await;
}

async fn catches_no_token_request(meshes: &[Mesh]) {
    let _node = empty().await;
    install("--set-file proxy.caBundle=$AZURE_CA_FILE --wait --timeout 2m").await;
    for native in [true, false] {
        if !native {
            helm_upgrade(&["--set", "nativeSidecar=off"]).await;
        }
        for mesh in meshes {
            let order = async |mesh_is_first| {
                let member = Member::start(*mesh, native, mesh_is_first).await;
                member.restart().await;
            };
            tokio::join!(order(false), order(true));
        }
    }
}

/// A pod of a mesh.
struct Member {
    namespace: Namespace,
    identity: Identity,
    mesh: Mesh,
    mesh_is_first: bool,
}

impl Member {
    async fn start(mesh: Mesh, native: bool, mesh_is_first: bool) -> Self {
        let (namespace, identity) = Namespace::with_identity(mesh.name).await;
        let pod = mesh.join(with_hammer(Pod::new("pod").with_proxy()), native);
        let pod = pod
            .field("restartPolicy", json!("Always"))
            .container(application(namespace.name()))
            .container(hammer("hammer", namespace.name(), ""));
        let mut manifest = namespace.dry_run(&pod.manifest()).await;
        let init = manifest["spec"]["initContainers"].as_array_mut();
        let init = init.expect("the pod has init containers");
        if mesh_is_first {
            let place = init.iter().position(|it| it["name"] == mesh.init());
            let its = init.remove(place.expect("the mesh's is one of them"));
            init.insert(0, its);
        }
        let front = if mesh_is_first {
            mesh.init()
        } else {
            PROXY_INIT.to_owned()
        };
        assert_eq!(names(&manifest["spec"]["initContainers"])[0], front);
        let kind = if native {
            "initContainers"
        } else {
            "containers"
        };
        assert!(names(&manifest["spec"][kind]).contains(&PROXY));
        // Without the label, so that the webhook does not restore its order.
        manifest["metadata"] = json!({ "name": pod.name() });
        namespace.apply(&manifest).await;
        Self {
            namespace,
            identity,
            mesh,
            mesh_is_first,
        }
    }

    /// Looks at the pod, restarts its containers, and makes it a new network.
    async fn restart(self) {
        self.assert_works_after(0).await;
        // The init containers run a second time in a network that has all rules.
        self.namespace.signal("pod", "app", "SIGUSR1").await;
        self.assert_works_after(1).await;
        self.namespace.kill_sandbox("pod").await;
        self.assert_works_after(2).await;
        let of = ["-n", self.namespace.name(), "pod/pod"];
        kubectl(&[&["delete", "--wait=false"], &of[..]].concat()).await;
    }

    async fn assert_works_after(&self, restarts: i32) {
        let pod = self
            .namespace
            .until("pod", |pod| {
                let mut found = statuses(pod).filter(|it| it.name == "app");
                found.any(|it| it.ready && it.restart_count >= restarts)
            })
            .await;
        let init = statuses(&pod).filter(|it| it.name.ends_with("-init"));
        let runs: Vec<_> = init.map(|it| (&it.name, it.restart_count)).collect();
        assert_eq!(runs.len(), 2, "{runs:?}");
        assert!(runs.iter().all(|it| it.1 == restarts), "{runs:?}");

        let answers = self.namespace.log("pod", "app").await;
        let token = answers.lines().next().unwrap_or_default();
        assert_eq!(claims(token)["appid"], self.identity.client_id, "{answers}");
        let caught = self.namespace.log("pod", &self.mesh.proxy()).await;
        assert!(caught.contains(ORDINARY), "{:?}: {caught}", self.mesh);
        assert!(!caught.contains(IMDS), "{:?}: {caught}", self.mesh);
        // The sidecar's own connection, unless it was made before the mesh's rules.
        if self.mesh_is_first {
            assert!(caught.contains(ENTRA), "{:?}: {caught}", self.mesh);
        }

        let asked = control().requests(Some(Service::Imds)).await;
        let asked = asked.expect("the emulator lists its requests");
        let asked = asked.iter().map(|it| it.target.as_str());
        let asked: Vec<_> = asked
            .filter(|it| it.contains(self.namespace.name()))
            .collect();
        let is_relayed = |it: &&str| it.starts_with("/metadata/instance?");
        assert!(
            !asked.is_empty() && asked.iter().all(is_relayed),
            "{asked:?}"
        );
    }
}

/// Asks for a token, for what the sidecar relays, and for something else. With SIGUSR1 it makes the kubelet restart
/// all containers.
fn application(mark: &str) -> Container {
    let line = format!(
        "trap 'exit 42' USR1
        imds() {{
            curl --silent --show-error --fail-with-body --max-time 60 -H Metadata:true \"http://{IMDS}/metadata/$1&mark={mark}\"
        }}
        imds 'identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'
        echo
        imds 'instance?api-version=2021-02-01'
        echo
        curl --silent --show-error --insecure --max-time 60 'https://{ORDINARY}/version'
        touch /done
        sleep infinity &
        wait"
    );
    let rules = json!([{
        "action": "RestartAllContainers",
        "exitCodes": { "operator": "In", "values": [42] },
    }]);
    let probe =
        json!({ "exec": { "command": ["/bin/sh", "-c", "test -e /done"] }, "periodSeconds": 1 });
    Container::shell("app", &line)
        .field("restartPolicy", json!("Always"))
        .field("restartPolicyRules", rules)
        .field("readinessProbe", probe)
}
