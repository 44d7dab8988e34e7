//! Gatekeeper's mutations of pods. The API server calls Gatekeeper's webhook after ours, by the names of their
//! configurations, and ours a second time where Gatekeeper changed the pod.

use contract::container::{PROXY, PROXY_INIT};
use contract::{annotation, label, token};
use delivery::{install, shell, upgrade};
use e2e::{Namespace, PROXY_IMAGE, Pod, kubectl_with_input, list};
use serde_json::{Value, json};

use super::installation::{PRODUCT, configure, until_in_force, with_gatekeeper};
use super::workload::{assert_gets_its_token, environment, redirect};
use crate::parts::assert_has_one_of_each;

const BOTH: &[&str] = &[PROXY_INIT, PROXY];

#[tokio::test]
async fn mutations_of_all_containers_leave_one_of_each_part_and_the_pods_own_token() {
    let _node = with_gatekeeper().await;
    install(PRODUCT).await;
    let (namespace, identity) = Namespace::with_identity("mutated").await;
    let mut mutators = vec![non_root(&namespace, "MustNotExist")];
    for list in ["containers", "initContainers"] {
        for (field, value) in [
            ("imagePullPolicy", "Never"),
            ("env[name:TEAM].value", "shop"),
        ] {
            let location = format!("spec.{list}[name:*].{field}");
            let parameters = json!({ "assign": { "value": value } });
            mutators.push(mutator(&namespace, "Assign", &location, parameters));
        }
    }
    mutate(&mutators).await;

    for (pod, injected) in [
        (redirect("redirect"), BOTH),
        (environment("environment"), &[PROXY]),
    ] {
        let pod = assert_gets_its_token(&namespace, &identity, &pod.manifest()).await;
        assert_has_one_of_each(&pod, injected, &[token::VOLUME]);
        let containers = all_containers(&pod);
        assert_eq!(containers.len(), 1 + injected.len());
        for container in containers {
            assert_eq!(container["imagePullPolicy"], "Never", "{container}");
            let team = json!({ "name": "TEAM", "value": "shop" });
            let variables = container["env"].as_array().expect("it has variables");
            assert!(variables.contains(&team), "{container}");
        }
    }

    mutate(&[non_root(&namespace, "MustExist")]).await;
    namespace.apply(&redirect("stopped").manifest()).await;
    let stopped = |pod: Value| {
        let first = &pod["status"]["initContainerStatuses"][0];
        first["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    };
    let is_stopped = namespace.until("stopped", |pod| stopped(json!(pod)));
    let _ = is_stopped.await;
}

#[tokio::test]
async fn images_from_a_mirror_work_and_give_no_warning_once_the_chart_names_it() {
    let _node = with_gatekeeper().await;
    install(PRODUCT).await;
    let (namespace, identity) = Namespace::with_identity("mirror").await;
    for image in [PROXY_IMAGE, "registry.example.com/curl:v1"] {
        let mirrored = image.replace("registry.", "mirror.");
        let tag = format!("ctr --namespace k8s.io images tag --force {image} {mirrored}");
        let _ = shell(&tag).await;
    }
    let mutators = ["containers", "initContainers"].map(|list| {
        let location = format!("spec.{list}[name:*].image");
        let parameters = json!({ "assignDomain": "mirror.example.com" });
        mutator(&namespace, "AssignImage", &location, parameters)
    });
    mutate(&mutators).await;

    let printed = namespace.apply(&redirect("warned").manifest()).await;
    for name in BOTH {
        let warning = format!("container {name} may not be the webhook's: its image is \"mirror.");
        assert!(printed.contains(&warning), "{printed}");
    }
    assert_eq!(namespace.finished("warned").await.phase, "Succeeded");

    upgrade("--set proxy.image.registry=mirror.example.com --wait --timeout 2m").await;
    let pod = assert_gets_its_token(&namespace, &identity, &redirect("silent").manifest()).await;
    assert_has_one_of_each(&pod, BOTH, &[token::VOLUME]);
    for container in all_containers(&pod) {
        let image = container["image"].as_str().expect("it has an image");
        assert!(image.starts_with("mirror.example.com/"), "{container}");
    }
}

#[tokio::test]
async fn an_annotation_that_gatekeeper_adds_counts() {
    let _node = with_gatekeeper().await;
    install(PRODUCT).await;
    let (namespace, identity) = Namespace::with_identity("annotated").await;
    add(&namespace, "annotations", annotation::INJECT_PROXY_SIDECAR).await;

    let pod = without(&redirect("pod"), "annotations");
    let pod = assert_gets_its_token(&namespace, &identity, &pod).await;
    assert_has_one_of_each(&pod, BOTH, &[token::VOLUME]);
}

/// The API server calls a webhook a second time only if it called it a first time.
#[tokio::test]
async fn a_label_that_gatekeeper_adds_counts_only_if_its_webhook_is_called_first() {
    let _node = with_gatekeeper().await;
    install(PRODUCT).await;
    let (namespace, identity) = Namespace::with_identity("labelled").await;
    add(&namespace, "labels", label::USE).await;

    let unlabelled = without(&redirect("late"), "labels");
    let printed = namespace.apply(&unlabelled).await;
    let warning = "the pod has label azure.workload.identity/use, and no service account token";
    assert!(printed.contains(warning), "{printed}");

    configure("--set mutatingWebhookName=a-gatekeeper").await;
    let unlabelled = without(&redirect("early"), "labels");
    let pod = assert_gets_its_token(&namespace, &identity, &unlabelled).await;
    assert_has_one_of_each(&pod, BOTH, &[token::VOLUME]);
}

/// Sets `runAsNonRoot` on init containers that have it, or have it not.
fn non_root(namespace: &Namespace, condition: &str) -> Value {
    let location = "spec.initContainers[name:*].securityContext.runAsNonRoot";
    let parameters = json!({
        "assign": { "value": true },
        "pathTests": [{ "subPath": location, "condition": condition }],
    });
    mutator(namespace, "Assign", location, parameters)
}

/// Makes Gatekeeper add this label or annotation to the pods of a namespace.
async fn add(namespace: &Namespace, list: &str, key: &str) {
    let location = format!("metadata.{list}.\"{key}\"");
    let parameters = json!({ "assign": { "value": "true" } });
    mutate(&[mutator(namespace, "AssignMetadata", &location, parameters)]).await;
}

/// A mutator of the pods in a namespace.
fn mutator(namespace: &Namespace, kind: &str, location: &str, parameters: Value) -> Value {
    let version = if kind == "AssignImage" {
        "v1alpha1"
    } else {
        "v1"
    };
    let name: String = location.chars().filter(char::is_ascii_alphabetic).collect();
    let mut mutator = json!({
        "apiVersion": format!("mutations.gatekeeper.sh/{version}"),
        "kind": kind,
        "metadata": { "name": name.to_lowercase() },
        "spec": {
            "match": {
                "scope": "Namespaced",
                "kinds": [{ "apiGroups": [""], "kinds": ["Pod"] }],
                "namespaces": [namespace.name()],
            },
            "location": location,
            "parameters": parameters,
        },
    });
    if kind != "AssignMetadata" {
        mutator["spec"]["applyTo"] = json!([{
            "groups": [""], "kinds": ["Pod"], "versions": ["v1"], "operations": ["CREATE"],
        }]);
    }
    mutator
}

/// Applies mutators, and waits until they are in force.
async fn mutate(mutators: &[Value]) {
    kubectl_with_input(&["apply", "-f", "-"], &list(mutators).to_string()).await;
    until_in_force("assign,assignmetadata,assignimage").await;
}

/// The manifest of a pod without its labels or annotations.
fn without(pod: &Pod, list: &str) -> Value {
    let mut manifest = pod.manifest();
    manifest["metadata"][list] = json!({});
    manifest
}

fn all_containers(pod: &Value) -> Vec<&Value> {
    let lists = [&pod["spec"]["initContainers"], &pod["spec"]["containers"]];
    let lists = lists.into_iter().filter_map(Value::as_array);
    lists.flatten().collect()
}
