//! Another team's webhook changes the pod after ours, and the API server calls ours again (W15 to
//! W17).

use e2e::{Container, Identity, Namespace, Pod, claims, install_other_webhook, sidecar};
use serde_json::{Value, json};

fn application(name: &str) -> Pod {
    Pod::new(name)
        .with_proxy()
        .container(Container::asking_imds("app"))
}

/// How many elements of these lists have this name.
fn occurrences(lists: &[&Value], name: &str) -> usize {
    let elements = lists.iter().filter_map(|list| list.as_array()).flatten();
    elements.filter(|element| element["name"] == name).count()
}

/// Asserts that everything we inject is there exactly once.
fn assert_injected_once(spec: &Value) {
    for name in ["azwi-proxy-init", "azwi-proxy"] {
        let lists = [&spec["initContainers"], &spec["containers"]];
        assert_eq!(occurrences(&lists, name), 1, "{name} in {spec}");
    }
    assert_eq!(
        occurrences(&[&spec["volumes"]], "azure-identity-token"),
        1,
        "{spec}"
    );
    for container in spec["containers"].as_array().expect("a pod has containers") {
        let mounts = occurrences(&[&container["volumeMounts"]], "azure-identity-token");
        assert_eq!(mounts, 1, "{container}");
        assert_eq!(
            occurrences(&[&container["env"]], "AZURE_CLIENT_ID"),
            1,
            "{container}"
        );
    }
}

#[tokio::test]
async fn a_container_that_another_webhook_adds_gets_the_identity() {
    let (namespace, identity) = Namespace::with_identity("added").await;
    install_other_webhook(&namespace, |pod| {
        if occurrences(&[&pod["spec"]["containers"]], "added") > 0 {
            return Vec::new();
        }
        let container = Container::asking_imds("added").manifest();
        vec![json!({ "op": "add", "path": "/spec/containers/-", "value": container })]
    })
    .await;

    let pod = application("pod");
    let finished = namespace.run_to_success(&pod).await;
    let spec = serde_json::to_value(&finished.pod.spec).expect("a pod is JSON");
    assert_eq!(occurrences(&[&spec["containers"]], "added"), 1);
    assert_injected_once(&spec);
    let answer = namespace.log(pod.name(), "added").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

#[tokio::test]
async fn an_init_container_that_another_webhook_puts_first_gets_the_identity() {
    let (namespace, identity) = Namespace::with_identity("first").await;
    install_other_webhook(&namespace, |pod| {
        let init = [&pod["spec"]["initContainers"]];
        // It is called before the product's webhook, and again after it.
        if occurrences(&init, "azwi-proxy-init") == 0 || occurrences(&init, "early") > 0 {
            return Vec::new();
        }
        let container = Container::asking_imds("early").manifest();
        vec![json!({ "op": "add", "path": "/spec/initContainers/0", "value": container })]
    })
    .await;

    let pod = application("pod");
    let finished = namespace.run_to_success(&pod).await;
    let spec = serde_json::to_value(&finished.pod.spec).expect("a pod is JSON");
    assert_injected_once(&spec);
    assert_eq!(
        sidecar::names(&spec["initContainers"]),
        ["azwi-proxy-init", "azwi-proxy", "early"]
    );
    let answer = namespace.log(pod.name(), "early").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

/// As a tool does that restores pods from a backup and adds an init container of its own.
#[tokio::test]
async fn a_restored_pod_with_an_init_container_in_front_gets_its_own_identity() {
    let (namespace, identity) = Namespace::with_identity("restored").await;
    let pod = application("pod").init_container(Container::asking_imds("migrate"));
    let mut manifest = namespace.dry_run(&pod.manifest()).await;
    manifest["metadata"] = json!({
        "name": pod.name(),
        "labels": manifest["metadata"]["labels"],
        "annotations": manifest["metadata"]["annotations"],
    });
    let init = manifest["spec"]["initContainers"]
        .as_array_mut()
        .expect("a list of containers");
    // The injected containers come last.
    init.rotate_left(2);
    init.insert(0, Container::asking_imds("restore").manifest());
    assert_eq!(
        sidecar::names(&manifest["spec"]["initContainers"]),
        ["restore", "migrate", "azwi-proxy-init", "azwi-proxy"]
    );

    let printed = namespace.apply(&manifest).await;
    assert!(!printed.contains("Warning"), "{printed}");
    let finished = namespace.finished(pod.name()).await;
    assert_eq!(finished.phase, "Succeeded");
    let spec = serde_json::to_value(&finished.pod.spec).expect("a pod is JSON");
    assert_eq!(
        sidecar::names(&spec["initContainers"]),
        ["azwi-proxy-init", "azwi-proxy", "restore", "migrate"]
    );
    for container in ["restore", "migrate", "app"] {
        let answer = namespace.log(pod.name(), container).await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    }
}

#[tokio::test]
async fn uses_the_service_account_that_another_webhook_sets() {
    let (namespace, _) = Namespace::with_identity("changed").await;
    let second = Identity::register(&namespace, "second").await;
    namespace.service_account("second", &second.client_id).await;
    install_other_webhook(&namespace, |_| {
        vec![json!({ "op": "add", "path": "/spec/serviceAccountName", "value": "second" })]
    })
    .await;

    let pod = application("pod");
    let finished = namespace.run_to_success(&pod).await;
    let spec = serde_json::to_value(&finished.pod.spec).expect("a pod is JSON");
    assert_eq!(spec["serviceAccountName"], "second");
    assert_injected_once(&spec);
    let proxy = &spec["initContainers"][1];
    for container in [&spec["containers"][0], proxy] {
        let variables = container["env"].as_array().expect("variables were added");
        assert!(
            variables.contains(&json!({ "name": "AZURE_CLIENT_ID", "value": second.client_id })),
            "{container}"
        );
    }
    let answer = namespace.log(pod.name(), "app").await;
    assert_eq!(claims(&answer)["appid"], second.client_id, "{answer}");
}

#[tokio::test]
async fn a_name_that_another_webhook_sets_causes_no_second_injection() {
    let (namespace, _) = Namespace::with_identity("named").await;
    install_other_webhook(&namespace, |pod| {
        if pod["metadata"]["name"].is_string() {
            return Vec::new();
        }
        vec![json!({ "op": "add", "path": "/metadata/name", "value": "named-by-another" })]
    })
    .await;

    let mut manifest = application("").manifest();
    manifest["metadata"] = json!({
        "generateName": "nameless-",
        "labels": manifest["metadata"]["labels"],
        "annotations": manifest["metadata"]["annotations"],
    });
    let pod = namespace.dry_run(&manifest).await;
    assert_eq!(pod["metadata"]["name"], "named-by-another");
    assert_injected_once(&pod["spec"]);
}
