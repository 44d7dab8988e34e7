//! A cluster of pod-managed identity: its custom resources, and workloads that ask IMDS all the time.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use azure_emulator::{Application, Kind};
use e2e::{
    Container, Namespace, Pod, TENANT, control, kubectl, kubectl_json, kubectl_with_input, list,
};
use serde_json::{Value, json};

/// The cluster.
pub(crate) struct Fixture {
    /// The namespace of most workloads.
    pub(crate) prod: String,
    /// A namespace that refuses the redirect.
    strict: String,
    /// A namespace whose binding is in another.
    other: String,
    /// Workloads that can move.
    pub(crate) workloads: Vec<Expected>,
    number: u64,
    _namespaces: [Namespace; 3],
}

/// A workload that can move.
pub(crate) struct Expected {
    pub(crate) kind: &'static str,
    /// 0 is prod, 1 strict, 2 other.
    pub(crate) namespace: usize,
    pub(crate) name: &'static str,
    /// The identity that answers requests that name none.
    pub(crate) identity: &'static str,
    /// Whether it has pods all the time.
    pub(crate) has_pods: bool,
}

impl Fixture {
    pub(crate) async fn create(test: &str) -> Self {
        let namespaces = [
            Namespace::new(test).await,
            Namespace::new(&format!("{test}-strict")).await,
            Namespace::new(&format!("{test}-other")).await,
        ];
        let [prod, strict, other] = [0, 1, 2].map(|nth: usize| namespaces[nth].name().to_owned());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is past 1970");
        let fixture = Self {
            prod,
            strict,
            other,
            workloads: expected(),
            number: now.as_nanos() as u64 & 0xffff_ffff,
            _namespaces: namespaces,
        };
        fixture.register().await;
        apply(&custom_resources()).await;
        for name in [
            "azureidentities",
            "azureidentitybindings",
            "azurepodidentityexceptions",
            "azureassignedidentities",
        ] {
            established(&format!("{name}.aadpodidentity.k8s.io")).await;
        }
        established("rollouts.argoproj.io").await;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        kubectl(&["label", "namespace", &fixture.strict, level]).await;
        apply(&fixture.pod_identity()).await;
        apply(&fixture.accounts()).await;
        apply(&fixture.all_workloads()).await;
        fixture
    }

    /// Removes what other tests would see.
    pub(crate) async fn remove(&self) {
        for namespace in [&self.prod, &self.strict, &self.other] {
            kubectl(&["delete", "namespace", namespace, "--timeout=150s"]).await;
        }
    }

    pub(crate) fn namespace(&self, nth: usize) -> &str {
        [&self.prod, &self.strict, &self.other][nth]
    }

    pub(crate) fn object(&self, it: &Expected) -> String {
        format!("{} {}/{}", it.kind, self.namespace(it.namespace), it.name)
    }

    /// The client id of an identity.
    pub(crate) fn client_id(&self, name: &str) -> String {
        let nth = IDENTITIES
            .iter()
            .position(|(it, _)| *it == name)
            .expect("an identity");
        format!("{nth:08x}-1818-4000-8000-0000{:08x}", self.number)
    }

    /// A line of shell that writes the managed identities and their federated credentials as `az` does.
    pub(crate) fn list_credentials(&self) -> String {
        let managed = IDENTITIES.iter().filter(|(_, kind)| *kind == 0);
        let lists = managed.map(|(name, _)| {
            let id = self.client_id(name);
            format!("; az identity federated-credential list --identity-name={id} --resource-group=group -o=json")
        });
        format!("az identity list -o=json{}", lists.collect::<String>())
    }

    /// Deployments that cannot move.
    pub(crate) fn blocked(&self) -> Vec<String> {
        let prod = ["unbound", "dangling", "nameless", "user", "windows"];
        let mut names: Vec<String> = prod
            .iter()
            .map(|it| format!("{}/{it}", self.prod))
            .collect();
        names.push(format!("{}/asking", self.strict));
        names
    }

    pub(crate) fn is_blocked(&self, object: &str) -> bool {
        let blocked = self.blocked();
        blocked.iter().any(|it| object.ends_with(&format!(" {it}")))
    }

    /// Everything that a migration may change, without what the API server counts.
    pub(crate) async fn snapshot(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let kinds = "deployments,statefulsets,daemonsets,cronjobs,rollouts,serviceaccounts,roles,rolebindings";
        for namespace in [&self.prod, &self.strict, &self.other] {
            let list = kubectl_json(&["get", kinds, "-n", namespace]).await;
            for object in list["items"].as_array().expect("a list") {
                let text = |path| {
                    object
                        .pointer(path)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                let name = format!("{} {namespace}/{}", text("/kind"), text("/metadata/name"));
                all.insert(name, essence(object));
            }
        }
        all
    }

    /// Entra knows the identities; none has a federated credential.
    async fn register(&self) {
        for (name, kind) in IDENTITIES {
            let application = Application {
                tenant: TENANT.into(),
                client_id: self.client_id(name),
                kind: if *kind == 0 {
                    Kind::ManagedIdentity
                } else {
                    Kind::Application
                },
                ..Application::default()
            };
            control()
                .add_application(&application)
                .await
                .expect("an identity");
        }
    }

    fn resource_id(&self, name: &str) -> String {
        // The emulated Azure's `az` finds an identity by its client id.
        format!("{SCOPE}{}", self.client_id(name))
    }

    fn pod_identity(&self) -> Vec<Value> {
        let version = "aadpodidentity.k8s.io/v1";
        let mut objects = Vec::new();
        let mut identity = |namespace: &str, name: &str, kind: u8| {
            let mut spec = json!({ "type": kind, "clientID": self.client_id(name) });
            if kind == 0 {
                spec["resourceID"] = json!(self.resource_id(name));
            } else {
                spec["tenantID"] = json!(TENANT);
            }
            objects.push(json!({
                "apiVersion": version, "kind": "AzureIdentity",
                "metadata": { "namespace": namespace, "name": name }, "spec": spec,
            }));
        };
        for (name, kind) in IDENTITIES {
            identity(&self.prod, name, *kind);
        }
        identity(&self.strict, "strict", 0);
        let mut nameless = json!({
            "apiVersion": version, "kind": "AzureIdentity",
            "metadata": { "namespace": self.prod, "name": "nameless" },
            "spec": { "type": 0 },
        });
        nameless["spec"]["resourceID"] = json!(format!("{SCOPE}nameless"));
        objects.push(nameless);
        let binding = |namespace: &str, name: &str, identity: &str, selector: &str, weight: u8| {
            json!({
                "apiVersion": version, "kind": "AzureIdentityBinding",
                "metadata": { "namespace": namespace, "name": name },
                "spec": { "azureIdentity": identity, "selector": selector, "weight": weight },
            })
        };
        let selector = |name: &str| format!("{name}-{}", self.number);
        for name in ["shop", "store", "reader", "principal", "nameless"] {
            objects.push(binding(&self.prod, name, name, &selector(name), 0));
        }
        objects.push(binding(&self.prod, "both-1", "store", &selector("both"), 1));
        objects.push(binding(
            &self.prod,
            "both-2",
            "reader",
            &selector("both"),
            2,
        ));
        objects.push(binding(
            &self.prod,
            "dangling",
            "absent",
            &selector("dangling"),
            0,
        ));
        objects.push(binding(
            &self.strict,
            "strict",
            "strict",
            &selector("strict"),
            0,
        ));
        objects.push(json!({
            "apiVersion": version, "kind": "AzurePodIdentityException",
            "metadata": { "namespace": self.prod, "name": "past" },
            "spec": { "podLabels": { "past": "nmi" } },
        }));
        let image = "mcr.example.com/oss/azure/aad-pod-identity/nmi:v1.8.17";
        objects.push(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "namespace": "kube-system", "name": "nmi" },
            "spec": {
                "selector": { "matchLabels": { "app": "nmi" } },
                "template": {
                    "metadata": { "labels": { "app": "nmi" } },
                    // No node has this label: the test node has no such image.
                    "spec": { "nodeSelector": { "no": "node" }, "containers": [{ "name": "nmi", "image": image }] },
                },
            },
        }));
        objects
    }

    fn accounts(&self) -> Vec<Value> {
        let account = |name: &str| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "namespace": self.prod, "name": name } });
        let mut objects: Vec<Value> = ["store", "both", "principal"].map(account).into();
        let mut taken = account("reader");
        taken["metadata"]["annotations"] =
            json!({ "azure.workload.identity/client-id": self.client_id("shop") });
        objects.push(taken);
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "namespace": self.prod, "name": "view" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
            "subjects": [{ "kind": "ServiceAccount", "namespace": self.prod, "name": "default" }],
        }));
        objects
    }

    fn all_workloads(&self) -> Vec<Value> {
        let prod = |kind: &str, name: &str, selector: &str, account: &str| {
            self.workload(
                kind,
                &self.prod,
                name,
                self.pod(name, selector, account, asking()),
            )
        };
        let mut objects = vec![
            prod("Deployment", "web", "shop", ""),
            prod("Deployment", "worker", "shop", ""),
            prod("StatefulSet", "db", "store", "store"),
            prod("CronJob", "nightly", "store", "store"),
            prod("Deployment", "both", "both", "both"),
            prod("Deployment", "split", "reader", "store"),
            prod("Deployment", "taken", "reader", ""),
            prod("Deployment", "principal", "principal", "principal"),
            prod("Pod", "alone", "store", "store"),
            prod("Job", "once", "store", "store"),
            prod("Deployment", "unbound", "nothing", ""),
            prod("Deployment", "dangling", "dangling", ""),
            prod("Deployment", "nameless", "nameless", ""),
        ];
        let mut asleep = prod("Deployment", "asleep", "shop", "");
        asleep["spec"]["replicas"] = json!(0);
        objects.push(asleep);
        let mut agent = prod("DaemonSet", "agent", "shop", "");
        agent["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
        objects.push(agent);
        let mut rollout = prod("Rollout", "rollout", "store", "store");
        rollout["spec"]["replicas"] = json!(0);
        objects.push(rollout);
        let mut user = self.pod("user", "shop", "", asking());
        user["spec"]["containers"][0]["securityContext"] = json!({ "runAsUser": 1501 });
        objects.push(self.workload("Deployment", &self.prod, "user", user));
        let mut windows = self.pod("windows", "shop", "", asking());
        windows["spec"]["os"] = json!({ "name": "windows" });
        let mut windows = self.workload("Deployment", &self.prod, "windows", windows);
        // Its pods would fail one after the other.
        windows["spec"]["replicas"] = json!(0);
        objects.push(windows);
        let mut excepted = self.pod("excepted", "shop", "", asking());
        excepted["metadata"]["labels"]["past"] = json!("nmi");
        objects.push(self.workload("Deployment", &self.prod, "excepted", excepted));
        objects.push(self.workload(
            "Deployment",
            &self.other,
            "far",
            self.pod("far", "shop", "", asking()),
        ));
        objects.push(self.workload(
            "Deployment",
            &self.prod,
            "python",
            self.pod("python", "shop", "", python()),
        ));
        let mut host = self.pod("host", "shop", "", by_endpoint("app"));
        host["spec"]["hostNetwork"] = json!(true);
        objects.push(self.workload("Deployment", &self.prod, "host", host));
        let locked = self.pod("locked", "strict", "", by_endpoint("app"));
        objects.push(self.workload("Deployment", &self.strict, "locked", locked));
        let mut asking = self.pod("asking", "strict", "", by_endpoint("app"));
        asking["spec"]["containers"][0]["env"] =
            json!([{ "name": "ADDRESS", "value": "http://169.254.169.254/" }]);
        objects.push(self.workload("Deployment", &self.strict, "asking", asking));
        objects
    }

    /// A pod with the label of pod-managed identity.
    fn pod(&self, name: &str, selector: &str, account: &str, pod: Pod) -> Value {
        let mut pod = pod.without_label().manifest();
        pod["metadata"]["labels"] =
            json!({ "app": name, "aadpodidbinding": format!("{selector}-{}", self.number) });
        pod["metadata"]["name"] = json!(name);
        pod["spec"]["restartPolicy"] = json!("Always");
        let spec = pod["spec"].as_object_mut().expect("a spec");
        spec.remove("serviceAccountName");
        if !account.is_empty() {
            spec.insert("serviceAccountName".to_owned(), json!(account));
        }
        pod
    }

    fn workload(&self, kind: &str, namespace: &str, name: &str, mut pod: Value) -> Value {
        let metadata = json!({ "namespace": namespace, "name": name, "labels": { "app": name } });
        if kind == "Pod" {
            pod["metadata"]["namespace"] = json!(namespace);
            return pod;
        }
        if ["Job", "CronJob"].contains(&kind) {
            pod["spec"]["restartPolicy"] = json!("Never");
        }
        let mut metadata_of_template = pod["metadata"].clone();
        let fields = metadata_of_template.as_object_mut().expect("metadata");
        fields.remove("name");
        fields.retain(|_, it| it.as_object().is_none_or(|it| !it.is_empty()));
        let template = json!({ "metadata": metadata_of_template, "spec": pod["spec"] });
        let selector = json!({ "matchLabels": { "app": name } });
        let (version, spec) = match kind {
            "Job" => ("batch/v1", json!({ "template": template })),
            "CronJob" => (
                "batch/v1",
                json!({ "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": template } } }),
            ),
            "Rollout" => ("argoproj.io/v1alpha1", json!({ "template": template })),
            _ => (
                "apps/v1",
                json!({ "selector": selector, "template": template }),
            ),
        };
        json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })
    }
}

/// What a migration may change of an object.
pub(crate) fn essence(object: &Value) -> Value {
    let mut metadata = object["metadata"].clone();
    let fields = metadata.as_object_mut().expect("metadata");
    // What the API server and controllers count.
    for counted in [
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "uid",
        "managedFields",
    ] {
        fields.remove(counted);
    }
    if let Some(annotations) = fields.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        annotations.remove("deprecated.daemonset.template.generation");
    }
    fields
        .retain(|key, it| key != "annotations" || it.as_object().is_some_and(|it| !it.is_empty()));
    let mut essence = object.clone();
    essence["metadata"] = metadata;
    essence.as_object_mut().expect("an object").remove("status");
    essence
}

fn expected() -> Vec<Expected> {
    let expected = |kind, namespace, name, identity, has_pods| Expected {
        kind,
        namespace,
        name,
        identity,
        has_pods,
    };
    vec![
        expected("Deployment", 0, "web", "shop", true),
        expected("Deployment", 0, "worker", "shop", true),
        expected("StatefulSet", 0, "db", "store", true),
        expected("CronJob", 0, "nightly", "store", false),
        expected("Deployment", 0, "both", "reader", true),
        expected("Deployment", 0, "split", "reader", true),
        expected("Deployment", 0, "taken", "reader", true),
        expected("Deployment", 0, "principal", "principal", true),
        expected("Pod", 0, "alone", "store", true),
        expected("Job", 0, "once", "store", true),
        expected("Deployment", 0, "asleep", "shop", false),
        expected("DaemonSet", 0, "agent", "shop", true),
        expected("Rollout", 0, "rollout", "store", false),
        expected("Deployment", 2, "far", "shop", true),
        expected("Deployment", 0, "python", "shop", true),
        expected("Deployment", 0, "host", "shop", true),
        expected("Deployment", 1, "locked", "strict", true),
    ]
}

/// A pod that asks IMDS every second, as long as it lives.
fn asking() -> Pod {
    let line = "trap 'exit 0' TERM; while true; do curl --silent --max-time 30 -H Metadata:true \
                \"http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net\" \
                && echo; sleep 1 & wait $!; done";
    Pod::new("pod").container(Container::shell("app", line))
}

/// The SDK of early 2021 in such a loop.
fn python() -> Pod {
    let program = "import json, time\nfrom azure.identity import ManagedIdentityCredential\nwhile True:\n  \
                   token = ManagedIdentityCredential().get_token('https://vault.azure.net/.default').token\n  \
                   print(json.dumps({'access_token': token}), flush=True)\n  time.sleep(1)\n";
    let sdks = std::env::var("SDK_DIRECTORY").expect("`make test` sets SDK_DIRECTORY");
    let container = Container::new("app", &["/usr/bin/python3", "-c", program])
        .env("PYTHONPATH", "/sdk")
        .mount("sdk", "/sdk");
    let volume = json!({ "name": "sdk", "hostPath": { "path": format!("{sdks}/python-legacy"), "type": "Directory" } });
    Pod::new("pod").container(container).volume(volume)
}

/// A pod that asks the endpoint of its variables, and IMDS without them, as SDKs do: the address is not to be seen in
/// its command. The Pod Security level `restricted` admits it.
fn by_endpoint(name: &str) -> Pod {
    let line = "trap 'exit 0' TERM; while true; do if [ -n \"${IDENTITY_ENDPOINT:-}\" ]; then \
                curl --silent --max-time 30 -H \"X-IDENTITY-HEADER: $IDENTITY_HEADER\" \
                \"$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://vault.azure.net\" && echo; else \
                curl --silent --max-time 30 -H Metadata:true \
                \"http://$(printf %s.%s 169.254 169.254)/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net\" \
                && echo; fi; sleep 1; done";
    let container = Container::image(name, "registry.example.com/curl:v1")
        .field("command", json!(["/bin/sh", "-euc", line]))
        .field(
            "securityContext",
            json!({
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "runAsNonRoot": true,
                "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" },
            }),
        );
    Pod::new("pod")
        .container(container)
        .field("volumes", json!([]))
}

async fn apply(objects: &[Value]) {
    kubectl_with_input(&["apply", "-f", "-"], &list(objects).to_string()).await;
}

async fn established(name: &str) {
    kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/{name}"),
        "--timeout=60s",
    ])
    .await;
}

/// The kinds of pod-managed identity, and one with a pod template and a scale subresource.
fn custom_resources() -> Vec<Value> {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let resource = |group: &str, version: &str, plural: &str, kind: &str, subresources: Value| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{group}"),
                "annotations": { "api-approved.kubernetes.io": "unapproved, a test's" },
            },
            "spec": {
                "group": group,
                "names": { "plural": plural, "kind": kind, "singular": kind.to_lowercase() },
                "scope": "Namespaced",
                "versions": [{
                    "name": version, "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": open },
                    "subresources": subresources,
                }],
            },
        })
    };
    let pod_identity =
        |plural: &str, kind: &str| resource("aadpodidentity.k8s.io", "v1", plural, kind, json!({}));
    let scale = json!({ "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" } });
    vec![
        pod_identity("azureidentities", "AzureIdentity"),
        pod_identity("azureidentitybindings", "AzureIdentityBinding"),
        pod_identity("azurepodidentityexceptions", "AzurePodIdentityException"),
        pod_identity("azureassignedidentities", "AzureAssignedIdentity"),
        resource("argoproj.io", "v1alpha1", "rollouts", "Rollout", scale),
    ]
}

/// The identities, with the types of their AzureIdentities.
const IDENTITIES: &[(&str, u8)] = &[
    ("shop", 0),
    ("store", 0),
    ("reader", 0),
    ("principal", 1),
    ("strict", 0),
];

/// The resource id of an identity up to its name.
const SCOPE: &str = "/subscriptions/sub/resourcegroups/group/providers/Microsoft.ManagedIdentity/userAssignedIdentities/";
