//! Pods that run the machine's own programs, mounted into containers as if from an image.

use contract::{annotation, label};
use serde_json::{Map, Value, json};

/// A pod that asks for an identity. Its containers see the machine's `/usr` read-only.
#[derive(Clone)]
pub struct Pod {
    name: String,
    annotations: Map<String, Value>,
    labels: Map<String, Value>,
    spec: Map<String, Value>,
}

impl Pod {
    /// A pod with the label that the webhook acts on, of the service account `app`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            annotations: Map::new(),
            labels: Map::from_iter([(label::USE.into(), json!("true"))]),
            spec: Map::from_iter([
                ("serviceAccountName".into(), json!("app")),
                ("restartPolicy".into(), json!("Never")),
                ("terminationGracePeriodSeconds".into(), json!(1)),
                ("containers".into(), json!([])),
                ("initContainers".into(), json!([])),
                ("volumes".into(), Container::volumes()),
            ]),
        }
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for the proxy sidecar.
    #[must_use]
    pub fn with_proxy(self) -> Self {
        self.annotate(annotation::INJECT_PROXY_SIDECAR, "true")
    }

    /// Removes the label, so that the API server does not call the webhook for this pod.
    #[must_use]
    pub fn without_label(mut self) -> Self {
        self.labels.clear();
        self
    }

    /// Sets an annotation.
    #[must_use]
    pub fn annotate(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), json!(value));
        self
    }

    /// Adds a container.
    #[must_use]
    pub fn container(self, container: Container) -> Self {
        self.add("containers", container.0)
    }

    /// Adds an init container.
    #[must_use]
    pub fn init_container(self, container: Container) -> Self {
        self.add("initContainers", container.0)
    }

    /// Adds a volume.
    #[must_use]
    pub fn volume(self, volume: Value) -> Self {
        self.add("volumes", volume)
    }

    /// Sets a field of the pod's spec.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.spec.insert(name.into(), value);
        self
    }

    /// The manifest, as `kubectl apply` takes it.
    pub fn manifest(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name, "labels": self.labels, "annotations": self.annotations,
            },
            "spec": self.spec,
        })
    }

    /// A Deployment of such pods, which has the pod's name.
    pub fn deployment(&self, replicas: u32) -> Value {
        let app = json!({ "app": self.name });
        let mut pod = self.manifest();
        pod["metadata"]["labels"]["app"] = app["app"].clone();
        pod["spec"]["restartPolicy"] = json!("Always");
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": self.name },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": app },
                "template": {
                    "metadata": {
                        "labels": pod["metadata"]["labels"],
                        "annotations": pod["metadata"]["annotations"],
                    },
                    "spec": pod["spec"],
                },
            },
        })
    }

    fn add(mut self, list: &str, item: Value) -> Self {
        if let Some(Value::Array(items)) = self.spec.get_mut(list) {
            items.push(item);
        }
        self
    }
}

/// A line of shell that requests one token from IMDS and prints the answer.
pub const ASK_IMDS: &str = "curl --silent --show-error --fail-with-body --max-time 30 -H Metadata:true \
    'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'";

/// A container in such a pod.
#[derive(Clone)]
pub struct Container(Value);

impl Container {
    /// A container that runs one of the machine's programs.
    pub fn new(name: &str, command: &[&str]) -> Self {
        let mounts: Vec<_> = MACHINE
            .iter()
            .map(|(name, _, path)| json!({ "name": name, "mountPath": path, "readOnly": true }))
            .collect();
        Self(json!({
            "name": name,
            "image": "registry.example.com/cluster/pause:v1",
            "imagePullPolicy": "Never",
            "command": command,
            "volumeMounts": mounts,
        }))
    }

    /// A container that requests one token from IMDS and prints the answer.
    pub fn asking_imds(name: &str) -> Self {
        Self::shell(name, ASK_IMDS)
    }

    /// A container that runs a line of shell.
    pub fn shell(name: &str, line: &str) -> Self {
        Self::new(name, &["/bin/sh", "-euc", line])
    }

    /// A container of any image, without the machine's programs.
    pub fn image(name: &str, image: &str) -> Self {
        Self(json!({ "name": name, "image": image, "imagePullPolicy": "Never" }))
    }

    /// The container, as a pod's manifest has it.
    pub fn manifest(self) -> Value {
        self.0
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.add("env", json!({ "name": name, "value": value }))
    }

    /// Adds a writable mount.
    #[must_use]
    pub fn writable_mount(self, volume: &str, path: &str) -> Self {
        self.add("volumeMounts", json!({ "name": volume, "mountPath": path }))
    }

    /// Adds a writable mount of a directory that only this container uses.
    #[must_use]
    pub fn own_directory(self, volume: &str, path: &str) -> Self {
        let own = self.0["name"].clone();
        self.add(
            "volumeMounts",
            json!({ "name": volume, "mountPath": path, "subPath": own }),
        )
    }

    /// Adds a read-only mount.
    #[must_use]
    pub fn mount(self, volume: &str, path: &str) -> Self {
        self.add(
            "volumeMounts",
            json!({ "name": volume, "mountPath": path, "readOnly": true }),
        )
    }

    /// Sets a field of the container.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.0[name] = value;
        self
    }

    fn volumes() -> Value {
        let volumes = MACHINE.iter().map(|(name, source, _)| {
            json!({ "name": name, "hostPath": { "path": source, "type": "Directory" } })
        });
        volumes.collect()
    }

    fn add(mut self, list: &str, item: Value) -> Self {
        match &mut self.0[list] {
            Value::Array(items) => items.push(item),
            absent => *absent = json!([item]),
        }
        self
    }
}

/// Each volume's name, its directory on the machine, and its path in a container.
const MACHINE: [(&str, &str, &str); 5] = [
    ("machine-usr", "/usr", "/usr"),
    ("machine-bin", "/usr/bin", "/bin"),
    ("machine-lib", "/usr/lib", "/lib"),
    ("machine-lib64", "/usr/lib64", "/lib64"),
    (
        "machine-alternatives",
        "/etc/alternatives",
        "/etc/alternatives",
    ),
];
