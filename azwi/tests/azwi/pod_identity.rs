//! A cluster with pod-managed identity: a workload for every flaw that a migration meets.

use serde_json::{Value, json};

use crate::api_server::Cluster;
use crate::fixture::{account, healthy, owned, resource_id, unlabelled};

/// Client ids by the names of identities.
pub(crate) fn client_id(name: &str) -> String {
    let number = NAMES.iter().position(|it| *it == name).unwrap();
    format!("00000000-0000-0000-0000-0000000000{number:02}")
}

const NAMES: [&str; 14] = [
    "shop",
    "store",
    "reader",
    "secret",
    "certificate",
    "odd",
    "nameless",
    "taken",
    "full",
    "full-2",
    "far",
    "foreign",
    "old",
    "crowd",
];

/// The cluster.
pub(crate) fn cluster() -> Cluster {
    let mut cluster = healthy();
    cluster.objects.retain(|it| {
        let kind = it["kind"].as_str().unwrap();
        let is_webhook = it["metadata"]["namespace"] == crate::fixture::SYSTEM;
        is_webhook || kind == "Namespace" || kind.ends_with("Configuration")
    });
    cluster.objects.extend(namespaces());
    cluster.objects.extend(pod_identity());
    cluster.objects.extend(accounts());
    cluster.objects.extend(usual());
    cluster.objects.extend(flawed());
    cluster.objects.extend(custom());
    cluster
}

fn namespaces() -> Vec<Value> {
    let namespace = |name: &str, more: Value| {
        let mut labels = json!({ "kubernetes.io/metadata.name": name });
        labels
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
    };
    let strict = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    vec![namespace("strict", strict), namespace("other", json!({}))]
}

fn pod_identity() -> Vec<Value> {
    let mut objects = vec![nmi(&[])];
    for name in ["shop", "store", "reader", "taken", "full"] {
        objects.push(identity("prod", name, 0));
        objects.push(binding("prod", name, name, name, 0));
    }
    objects.push(binding("prod", "both-1", "store", "both", 1));
    objects.push(binding("prod", "both-2", "reader", "both", 2));
    objects.push(binding("prod", "equal-1", "store", "equal", 0));
    objects.push(binding("prod", "equal-2", "reader", "equal", 0));
    objects.push(binding("prod", "dangling", "absent", "dangling", 0));
    objects.push(identity("prod", "secret", 1));
    objects.push(binding("prod", "secret", "secret", "secret", 0));
    objects.push(identity("prod", "certificate", 2));
    objects.push(binding(
        "prod",
        "certificate",
        "certificate",
        "certificate",
        0,
    ));
    objects.push(identity("prod", "odd", 7));
    objects.push(binding("prod", "odd", "odd", "odd", 0));
    let mut nameless = identity("prod", "nameless", 0);
    nameless["spec"]["clientID"] = json!("");
    objects.push(nameless);
    objects.push(binding("prod", "nameless", "nameless", "nameless", 0));
    for namespace in ["strict", "kube-system"] {
        objects.push(identity(namespace, "shop", 0));
        objects.push(binding(namespace, "shop", "shop", "strict", 0));
    }
    objects.push(json!({
        "kind": "AzurePodIdentityException",
        "metadata": { "namespace": "prod", "name": "past" },
        "spec": { "podLabels": { "past": "nmi" } },
    }));
    objects.push(json!({
        "kind": "AzureAssignedIdentity",
        "metadata": { "namespace": "default", "name": "web-1-a-prod-shop" },
        "spec": {
            "azureIdentityRef": { "metadata": { "namespace": "prod", "name": "shop" } },
            "pod": "web-1-a",
            "podNamespace": "prod",
        },
    }));
    objects
}

pub(crate) fn identity(namespace: &str, name: &str, kind: u8) -> Value {
    let mut spec = json!({ "type": kind, "clientID": client_id(name) });
    if kind == 0 {
        spec["resourceID"] = json!(resource_id(name));
    } else {
        spec["tenantID"] = json!("99999999-2222-3333-4444-555555555555");
        spec["clientPassword"] = json!({ "namespace": namespace, "name": "secret" });
    }
    json!({ "kind": "AzureIdentity", "metadata": { "namespace": namespace, "name": name }, "spec": spec })
}

pub(crate) fn binding(
    namespace: &str,
    name: &str,
    identity: &str,
    selector: &str,
    weight: u8,
) -> Value {
    json!({
        "kind": "AzureIdentityBinding",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "azureIdentity": identity, "selector": selector, "weight": weight },
    })
}

pub(crate) fn nmi(args: &[&str]) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "namespace": "kube-system", "name": "nmi" },
        "spec": { "template": { "metadata": {}, "spec": { "serviceAccountName": "nmi", "containers": [{
            "name": "nmi", "image": "mcr.example.com/oss/azure/aad-pod-identity/nmi:v1.8.17", "args": args,
        }] } } },
    })
}

fn accounts() -> Vec<Value> {
    let mut objects: Vec<Value> = [
        "db",
        "agent",
        "jobs",
        "both",
        "equal",
        "secret",
        "certificate",
        "full",
        "moved",
    ]
    .map(|it| {
        account(
            "prod",
            it,
            (it == "moved").then(|| client_id("shop")).as_deref(),
        )
    })
    .into();
    for namespace in ["prod", "strict", "other", "kube-system"] {
        objects.push(account(namespace, "default", None));
    }
    objects.push(account("prod", "taken", Some(&client_id("old"))));
    let default = objects
        .iter_mut()
        .find(|it| it["metadata"]["name"] == "default")
        .unwrap();
    default["imagePullSecrets"] = json!([{ "name": "registry" }]);
    objects.push(json!({
        "kind": "RoleBinding",
        "metadata": { "namespace": "prod", "name": "view" },
        "roleRef": { "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "kind": "ServiceAccount", "name": "default" }, { "kind": "User", "name": "x" }],
    }));
    objects
}

/// A template with the label of pod-managed identity. An empty account is left out.
pub(crate) fn template(selector: &str, account: &str) -> Value {
    let mut template = unlabelled(account);
    template["metadata"]["labels"]["aadpodidbinding"] = json!(selector);
    if account.is_empty() {
        template["spec"]
            .as_object_mut()
            .unwrap()
            .remove("serviceAccountName");
    }
    template
}

pub(crate) fn workload(kind: &str, name: &str, template: Value) -> Value {
    let mut object = crate::fixture::workload(kind, name, template);
    let version = match kind {
        "Job" | "CronJob" => "batch/v1",
        "Rollout" => "argoproj.io/v1alpha1",
        _ => "apps/v1",
    };
    object["apiVersion"] = json!(version);
    object
}

fn usual() -> Vec<Value> {
    let mut objects = vec![
        workload("Deployment", "web", template("shop", "")),
        workload("Deployment", "worker", template("shop", "default")),
        workload("StatefulSet", "db", template("store", "db")),
        workload("CronJob", "nightly", template("shop", "jobs")),
        workload("Job", "once", template("shop", "jobs")),
    ];
    let mut agent = workload("DaemonSet", "agent", template("reader", "agent"));
    agent["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
    objects.push(agent);
    let mut asleep = workload("Deployment", "asleep", template("store", "db"));
    asleep["spec"]["replicas"] = json!(0);
    objects.push(asleep);
    let mut ended = workload("Job", "ended", template("shop", "jobs"));
    ended["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    objects.push(ended);
    let set = workload("ReplicaSet", "web-1", template("shop", ""));
    objects.push(owned_by(set, "apps/v1", "Deployment", "web"));
    objects.push(owned_by(
        pod("web-1-a", "shop"),
        "apps/v1",
        "ReplicaSet",
        "web-1",
    ));
    objects.push(owned_by(
        pod("agent-a", "reader"),
        "apps/v1",
        "DaemonSet",
        "agent",
    ));
    let mut alone = pod("alone", "store");
    alone["spec"]["serviceAccountName"] = json!("db");
    alone["spec"]["nodeName"] = json!("node-1");
    alone["metadata"]["uid"] = json!("1");
    objects.push(alone);
    let mut moved = template("shop", "moved");
    moved["metadata"]["labels"]["azure.workload.identity/use"] = json!("true");
    moved["metadata"]["annotations"]["azure.workload.identity/inject-proxy-sidecar"] =
        json!("true");
    objects.push(workload("Deployment", "moved", moved));
    objects.push(workload("Deployment", "unrelated", unlabelled("db")));
    objects
}

pub(crate) fn pod(name: &str, selector: &str) -> Value {
    let mut pod = template(selector, "");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!("prod");
    pod["metadata"]["name"] = json!(name);
    pod["status"] =
        json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
    pod
}

pub(crate) fn owned_by(object: Value, version: &str, kind: &str, name: &str) -> Value {
    let mut object = owned(object, kind, name);
    object["metadata"]["ownerReferences"][0]["apiVersion"] = json!(version);
    object
}

fn flawed() -> Vec<Value> {
    let deployment = |name: &str, template| workload("Deployment", name, template);
    let in_namespace = |namespace: &str, mut object: Value| {
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    let asking = |mut template: Value| {
        let line = "curl http://169.254.169.254/metadata/identity/oauth2/token";
        template["spec"]["containers"][0]["args"] = json!(["-c", line]);
        template
    };
    let mut objects = vec![
        deployment("both", template("both", "both")),
        deployment("equal", template("equal", "equal")),
        deployment("split", template("reader", "db")),
        deployment("unbound", template("nothing", "db")),
        deployment("dangling", template("dangling", "db")),
        deployment("secret", template("secret", "secret")),
        deployment("certificate", template("certificate", "certificate")),
        deployment("odd", template("odd", "")),
        deployment("nameless", template("nameless", "")),
        deployment("taken", template("taken", "")),
        deployment("full", template("full", "full")),
        deployment("asking", asking(unlabelled("db"))),
        in_namespace("strict", deployment("locked", template("strict", ""))),
        in_namespace(
            "strict",
            deployment("asking", asking(template("strict", ""))),
        ),
        in_namespace("kube-system", deployment("system", template("strict", ""))),
        in_namespace("other", deployment("far", template("shop", ""))),
    ];
    let mut excepted = template("shop", "");
    excepted["metadata"]["labels"]["past"] = json!("nmi");
    objects.push(deployment("excepted", excepted));
    let mut host = template("shop", "");
    host["spec"]["hostNetwork"] = json!(true);
    objects.push(deployment("host", host));
    let mut user = template("shop", "");
    user["spec"]["containers"][0]["securityContext"] = json!({ "runAsUser": 1501 });
    objects.push(deployment("user", user));
    let mut windows = template("shop", "");
    windows["spec"]["os"] = json!({ "name": "windows" });
    objects.push(deployment("windows", windows));
    let mut by_resource = template("shop", "");
    by_resource["spec"]["containers"][0]["env"] =
        json!([{ "name": "IDENTITY", "value": resource_id("shop") }]);
    objects.push(deployment("by-resource", by_resource));
    objects
}

/// A Rollout at zero replicas, one that names a Deployment, and a StatefulSet that an operator makes.
fn custom() -> Vec<Value> {
    let mut rollout = workload("Rollout", "rollout", template("store", "db"));
    rollout["spec"]["replicas"] = json!(0);
    let mut reference = workload("Rollout", "reference", json!({}));
    reference["spec"] = json!({ "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "asleep" } });
    let set = workload("ReplicaSet", "reference-1", template("store", "db"));
    let kafka = workload("StatefulSet", "kafka", template("store", "db"));
    vec![
        rollout,
        reference,
        owned_by(set, "argoproj.io/v1alpha1", "Rollout", "reference"),
        owned_by(
            pod("reference-1-a", "store"),
            "apps/v1",
            "ReplicaSet",
            "reference-1",
        ),
        json!({
            "apiVersion": "kafka.example.com/v1",
            "kind": "Kafka",
            "metadata": { "namespace": "prod", "name": "kafka" },
            "spec": { "brokers": 3 },
        }),
        owned_by(kafka, "kafka.example.com/v1", "Kafka", "kafka"),
    ]
}
