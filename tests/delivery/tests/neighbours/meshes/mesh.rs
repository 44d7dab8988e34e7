//! What the meshes' injectors add to a pod: their init container, and their proxy.

use e2e::{Container, Pod};
use serde_json::{Value, json};

/// The image that tests/neighbours/mesh-image makes.
const IMAGE: &str = "registry.example.com/meshes:v1";
const VOLUME: &str = "mesh";

/// A mesh, and the program that writes its rules.
#[derive(Clone, Copy, Debug)]
pub struct Mesh {
    /// What the names of its containers begin with.
    pub name: &'static str,
    /// The arguments that choose what the rules are written with.
    pub rules: &'static [&'static str],
    init: fn(Container, &[&str]) -> Container,
    uid: u32,
    outbound: u16,
}

impl Mesh {
    /// Istio, as `files/injection-template.yaml` of its chart has it with the chart's values.
    pub const fn istio(rules: &'static [&'static str]) -> Self {
        Self {
            name: "istio",
            rules,
            init: istio_init,
            uid: 1337,
            outbound: 15001,
        }
    }

    /// Linkerd, as `partials/templates/_proxy-init.tpl` of its charts has it with their values.
    pub const fn linkerd(rules: &'static [&'static str]) -> Self {
        Self {
            name: "linkerd",
            rules,
            init: linkerd_init,
            uid: 2102,
            outbound: 4140,
        }
    }

    /// The name of its init container.
    pub fn init(&self) -> String {
        format!("{}-init", self.name)
    }

    /// The name of its proxy.
    pub fn proxy(&self) -> String {
        format!("{}-proxy", self.name)
    }

    /// Adds the init container and the proxy to the pod. The proxy is a native sidecar, or an ordinary container that
    /// the next one waits for.
    #[must_use]
    pub fn join(&self, pod: Pod, native: bool) -> Pod {
        let init = (self.init)(Container::image(&self.init(), IMAGE), self.rules);
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/neighbours/meshes/forward.py"
        );
        let pod = pod
            .volume(json!({ "name": VOLUME, "hostPath": { "path": script, "type": "File" } }))
            .volume(json!({ "name": "run", "emptyDir": {} }))
            .init_container(init);
        if native {
            let probe = json!({
                "exec": { "command": ["/usr/bin/bash", "-c", self.connect()] },
                "periodSeconds": 1,
                "failureThreshold": 60,
            });
            let proxy = self.forwarding().field("startupProbe", probe);
            pod.init_container(proxy.field("restartPolicy", json!("Always")))
        } else {
            let wait = format!("until {}; do sleep 0.1; done", self.connect());
            let hook =
                json!({ "postStart": { "exec": { "command": ["/usr/bin/bash", "-c", wait] } } });
            pod.container(self.forwarding().field("lifecycle", hook))
        }
    }

    fn forwarding(&self) -> Container {
        let port = self.outbound.to_string();
        let command = ["/usr/bin/python3", "-ISu", "/forward.py", &port];
        Container::new(&self.proxy(), &command)
            .mount(VOLUME, "/forward.py")
            .field(
                "securityContext",
                json!({
                    "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true, "runAsGroup": self.uid, "runAsNonRoot": true,
                    "runAsUser": self.uid,
                }),
            )
    }

    /// Succeeds as soon as the proxy listens.
    fn connect(&self) -> String {
        format!("(</dev/tcp/127.0.0.1/{}) 2>/dev/null", self.outbound)
    }
}

fn istio_init(init: Container, rules: &[&str]) -> Container {
    let arguments = [
        "istio-iptables",
        "-p",
        "15001",
        "-z",
        "15006",
        "-u",
        "1337",
        "-m",
        "REDIRECT",
        "-i",
        "*",
        "-x",
        "",
        "-b",
        "*",
        "-d",
        "15090,15021,15020",
        "--log_output_level=default:info",
    ];
    init.field("command", json!(["/usr/local/bin/pilot-agent"]))
        .field("args", json!([&arguments[..], rules].concat()))
        .field(
            "securityContext",
            json!({
                "allowPrivilegeEscalation": false, "privileged": false,
                "capabilities": { "add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"] },
                "readOnlyRootFilesystem": false, "runAsGroup": 0, "runAsNonRoot": false,
                "runAsUser": 0,
            }),
        )
}

fn linkerd_init(init: Container, rules: &[&str]) -> Container {
    let arguments = [
        "--incoming-proxy-port",
        "4143",
        "--outgoing-proxy-port",
        "4140",
        "--proxy-uid",
        "2102",
        "--inbound-ports-to-ignore",
        "4190,4191,4567,4568",
        "--outbound-ports-to-ignore",
        "4567,4568",
    ];
    init.field("command", json!(["/usr/local/bin/proxy-init"]))
        .field("args", json!([rules, &arguments].concat()))
        .field("securityContext", unprivileged())
        .field("terminationMessagePolicy", json!("FallbackToLogsOnError"))
        .writable_mount("run", "/run")
}

/// Its capabilities are on the files of its image.
fn unprivileged() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "privileged": false,
        "capabilities": { "add": ["NET_ADMIN", "NET_RAW"] },
        "readOnlyRootFilesystem": true, "runAsGroup": 65534, "runAsNonRoot": true,
        "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" },
    })
}
