//! The objects that Azure/azure-workload-identity 1.6 (upstream) leaves in a cluster, with its names,
//! labels and selectors. This project's webhook runs in place of upstream's program and serves the
//! certificate of upstream's Secret, as upstream does. The test writes that Secret, as upstream's
//! certificate rotation does.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::{SECRET, SYSTEM_NAMESPACE, TENANT, kubectl_with_input, list, system};
use serde_json::{Value, json};

use crate::{Issued, helm, path, ready};

/// The name of upstream's Helm release.
pub const RELEASE: &str = "wi";
const NAME: &str = "workload-identity-webhook";

/// How upstream was installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With `kubectl apply` of its manifest.
    Manifest,
    /// With helm.
    Release,
}

/// Installs upstream, and waits until it serves. Returns its certificates.
pub async fn install(form: Form) -> Issued {
    deploy(form, 0).await;
    let issued = Issued::for_the_webhook();
    let mut data = issued.secret_data();
    let key = STANDARD.encode(issued.authority.key());
    data.insert("ca.key".to_owned(), json!(key));
    let patch = json!({ "data": data }).to_string();
    system(&[
        "patch",
        "secret",
        SECRET,
        "--field-manager=manager",
        "-p",
        &patch,
    ])
    .await;
    issued.inject().await;
    deploy(form, 2).await;
    ready().await;
    issued
}

/// Upstream's manifest.
pub fn manifest(replicas: u32) -> String {
    let objects = objects(Form::Manifest, json!(replicas));
    let items = [vec![namespace()], objects].concat();
    list(&items).to_string()
}

async fn deploy(form: Form, replicas: u32) {
    match form {
        Form::Manifest => {
            kubectl_with_input(&["apply", "-f", "-"], &manifest(replicas)).await;
        }
        Form::Release => {
            let chart = write_chart();
            let chart = chart.display();
            let _ = helm(&format!(
                "upgrade --install {RELEASE} {chart} --create-namespace --set replicas={replicas}"
            ))
            .await;
        }
    }
}

fn write_chart() -> PathBuf {
    let chart = path("upstream");
    fs::create_dir_all(chart.join("templates")).expect("the folder can be made");
    let about =
        json!({ "apiVersion": "v2", "name": NAME, "version": "1.6.0", "appVersion": "v1.6.0" });
    fs::write(chart.join("Chart.yaml"), about.to_string()).expect("the file can be written");
    let replicas = "{{ .Values.replicas }}";
    let objects = objects(Form::Release, json!(replicas)).into_iter();
    let objects: Vec<_> = objects.map(|object| object.to_string()).collect();
    let text = objects
        .join("\n---\n")
        .replace(&format!("\"{replicas}\""), replicas);
    fs::write(chart.join("templates/objects.yaml"), text).expect("the file can be written");
    chart
}

/// The labels of every object, which are the selector of the Deployment, Service and budget too.
fn labels(form: Form) -> Value {
    let mut labels = json!({ "azure-workload-identity.io/system": "true" });
    if form == Form::Release {
        labels["app"] = json!(NAME);
        labels["chart"] = json!(NAME);
        labels["release"] = json!(RELEASE);
    }
    labels
}

fn namespace() -> Value {
    let mut labels = labels(Form::Manifest);
    labels["pod-security.kubernetes.io/enforce"] = json!("restricted");
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": SYSTEM_NAMESPACE, "labels": labels },
    })
}

fn objects(form: Form, replicas: Value) -> Vec<Value> {
    let labels = labels(form);
    let object = |api: &str, kind: &str, name: &str, rest: Value| {
        let mut object = json!({
            "apiVersion": api,
            "kind": kind,
            "metadata": { "name": name, "labels": labels },
        });
        if !kind.starts_with("Cluster") && !kind.starts_with("Mutating") {
            object["metadata"]["namespace"] = json!(SYSTEM_NAMESPACE);
        }
        for (key, value) in rest.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    let role = "azure-wi-webhook-manager-role";
    let binding = |kind: &str| {
        json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role },
            "subjects": [{
                "kind": "ServiceAccount",
                "name": "azure-wi-webhook-admin",
                "namespace": SYSTEM_NAMESPACE,
            }],
        })
    };
    let bound = "azure-wi-webhook-manager-rolebinding";
    let deployment = "azure-wi-webhook-controller-manager";
    vec![
        object("v1", "ServiceAccount", "azure-wi-webhook-admin", json!({})),
        object(
            rbac,
            "Role",
            role,
            json!({ "rules": [{
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        }] }),
        ),
        object(
            rbac,
            "ClusterRole",
            role,
            json!({ "rules": [
            {
                "apiGroups": [""],
                "resources": ["serviceaccounts"],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["mutatingwebhookconfigurations"],
                "verbs": ["get", "list", "update", "watch"],
            },
        ] }),
        ),
        object(rbac, "RoleBinding", bound, binding("Role")),
        object(rbac, "ClusterRoleBinding", bound, binding("ClusterRole")),
        object(
            "v1",
            "ConfigMap",
            "azure-wi-webhook-config",
            json!({ "data": {
            "AZURE_ENVIRONMENT": "AzurePublicCloud",
            "AZURE_TENANT_ID": TENANT,
        } }),
        ),
        object("v1", "Secret", SECRET, json!({})),
        object(
            "v1",
            "Service",
            "azure-wi-webhook-webhook-service",
            json!({ "spec": {
            "ports": [{ "port": 443, "targetPort": 9443 }],
            "selector": labels,
        } }),
        ),
        object(
            "apps/v1",
            "Deployment",
            deployment,
            json!({ "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod() },
        } }),
        ),
        object(
            "policy/v1",
            "PodDisruptionBudget",
            deployment,
            json!({ "spec": {
            "minAvailable": 1,
            "selector": { "matchLabels": labels },
        } }),
        ),
        object(
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
            e2e::CONFIGURATION,
            json!({ "webhooks": [{
                "name": "mutation.azure-workload-identity.io",
                "admissionReviewVersions": ["v1", "v1beta1"],
                "clientConfig": { "service": {
                    "name": "azure-wi-webhook-webhook-service",
                    "namespace": SYSTEM_NAMESPACE,
                    "path": "/mutate-v1-pod",
                } },
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "objectSelector": { "matchLabels": { "azure.workload.identity/use": "true" } },
                "reinvocationPolicy": "IfNeeded",
                "rules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                }],
                "sideEffects": "None",
            }] }),
        ),
    ]
}

fn pod() -> Value {
    json!({
        "serviceAccountName": "azure-wi-webhook-admin",
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "containers": [{
            "name": "manager",
            "image": e2e::PROXY_IMAGE.replace("/proxy:", "/webhook:"),
            "imagePullPolicy": "IfNotPresent",
            "args": ["--log-level=info", "--disable-cert-rotation"],
            "env": [
                { "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } },
                { "name": "PROXY_IMAGE", "value": e2e::PROXY_IMAGE },
                { "name": "PROXY_INIT_IMAGE", "value": e2e::PROXY_IMAGE },
            ],
            "envFrom": [{ "configMapRef": { "name": "azure-wi-webhook-config" } }],
            "ports": [
                { "name": "metrics", "containerPort": 8095 },
                { "name": "webhook-server", "containerPort": 9443 },
                { "name": "healthz", "containerPort": 9440 },
            ],
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": "healthz" }, "periodSeconds": 5 },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "readOnlyRootFilesystem": true,
                "runAsGroup": 65532,
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": [{ "name": "cert", "mountPath": "/certs", "readOnly": true }],
        }],
        "volumes": [{ "name": "cert", "secret": { "secretName": SECRET } }],
    })
}
