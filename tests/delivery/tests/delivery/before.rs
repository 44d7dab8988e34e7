//! `azwi check --pre`: what will refuse the pods is named before the chart is installed.

use contract::{annotation, label};
use delivery::empty;
use e2e::program::{run, shell, text};
use e2e::{Container, Namespace, PROXY_IMAGE, Pod, kubectl, kubectl_with_input, until};
use serde_json::{Value, json};

/// A Deployment without replicas, whose pod meets the level `restricted` and requests 300m of CPU.
fn workload(annotations: &[(&str, &str)]) -> Value {
    let container = Container::image("app", PROXY_IMAGE)
        .field("resources", json!({ "requests": { "cpu": "300m" } }))
        .field(
            "securityContext",
            json!({
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "seccompProfile": { "type": "RuntimeDefault" },
            }),
        );
    let pod = Pod::new("shop")
        .with_proxy()
        .field("volumes", json!([]))
        .container(container);
    annotations
        .iter()
        .fold(pod, |pod, (key, value)| pod.annotate(key, value))
        .deployment(0)
}

async fn with_workload(test: &str, annotations: &[(&str, &str)]) -> Namespace {
    let (namespace, _) = Namespace::with_identity(test).await;
    namespace.apply(&workload(annotations)).await;
    namespace
}

async fn enforce(namespace: &Namespace, level: &str) {
    let label = format!("{}={level}", label::POD_SECURITY_ENFORCE);
    kubectl(&[
        "label",
        "--overwrite",
        "namespace",
        namespace.name(),
        &label,
    ])
    .await;
}

/// What the check writes for a namespace, and its exit code.
async fn check(namespace: &Namespace, options: &str) -> (Option<i32>, String) {
    let line = format!("azwi check --pre -n {} {options}", namespace.name());
    let output = shell(&line).await;
    (output.status.code(), text(&output))
}

async fn assert_clean(namespace: &Namespace, options: &str) {
    let (code, text) = check(namespace, options).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("0 errors, 0 warnings;"), "{text}");
}

/// Asserts that the workload is named with this sentence of the API server, and returns the command.
async fn assert_named(namespace: &Namespace, sentence: &str) -> String {
    let (code, text) = check(namespace, "").await;
    assert_eq!(code, Some(1), "{text}");
    let line = format!("Deployment {}/shop", namespace.name());
    let mut lines = text.lines();
    let found = lines.find(|it| it.contains(sentence) && it.ends_with(&line));
    let found = found.unwrap_or_else(|| panic!("no {sentence:?} in {text}"));
    assert!(
        found.starts_with("warning: a new pod would be refused: "),
        "{text}"
    );
    let fix = lines.next().unwrap_or_default().trim().to_owned();
    assert!(text.contains("AZWI-W015"), "{text}");
    fix
}

#[tokio::test]
async fn names_what_refuses_the_pods_before_the_installation() {
    let _node = empty().await;
    let ready = with_workload("pre-ready", &[]).await;
    assert_clean(&ready, "").await;

    let quota = with_workload("pre-quota", &[]).await;
    let hard = ["create", "quota", "compute", "--hard=requests.cpu=301m"];
    kubectl(&[&hard[..], &["-n", quota.name()]].concat()).await;
    // The quota's own controller counts first.
    let status = async || {
        let path = "-o=jsonpath={.status.hard}";
        kubectl(&["get", "quota", "compute", "-n", quota.name(), path]).await
    };
    until("the quota's status", status, |it| !it.is_empty()).await;
    assert_named(
        &quota,
        "exceeded quota: compute, requested: requests.cpu=302m",
    )
    .await;

    let range = with_workload("pre-range", &[]).await;
    range
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": { "name": "least" },
            "spec": { "limits": [{ "type": "Container", "min": { "cpu": "100m" } }] },
        }))
        .await;
    assert_named(
        &range,
        "minimum cpu usage per Container is 100m, but request is 2m",
    )
    .await;
    run(&format!(
        "kubectl delete -n {} limitrange least",
        range.name()
    ))
    .await;
    until(
        "the end of the LimitRange",
        async || check(&range, "").await,
        |it| it.0 == Some(0),
    )
    .await;
}

#[tokio::test]
async fn the_pod_security_level_is_named_with_the_mode_that_it_allows() {
    let _node = empty().await;
    let chosen = [(annotation::PROXY_MODE, "redirect")];
    let strict = with_workload("pre-level", &chosen).await;
    assert_clean(&strict, "").await;
    for level in ["baseline", "restricted"] {
        enforce(&strict, level).await;
        let sentence = format!("violates PodSecurity \"{level}:latest\"");
        let fix = assert_named(&strict, &sentence).await;
        if level == "restricted" {
            run(&fix).await;
        }
    }
    assert_clean(&strict, "").await;

    // Without a choice the webhook takes the mode that the level allows, and warns.
    let unchosen = with_workload("pre-unchosen", &[]).await;
    enforce(&unchosen, "restricted").await;
    let (code, text) = check(&unchosen, "").await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("AZWI-W004") && !text.contains("AZWI-W015"),
        "{text}"
    );
}

/// A policy sees the images of the planned installation.
#[tokio::test]
async fn a_policy_about_registries_sees_the_images_of_the_installation() {
    let _node = empty().await;
    let policed = with_workload("pre-policy", &[]).await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "registries", "labels": { "azure-workload-identity.io/system": "true" } },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [
                { "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] },
            ] },
            "validations": [{
                "expression": format!(
                    "!has(object.spec.initContainers) || object.spec.initContainers.all(it, it.image == '{PROXY_IMAGE}')"
                ),
                "message": "the registry is not allowed",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "registries", "labels": { "azure-workload-identity.io/system": "true" } },
        "spec": {
            "policyName": "registries",
            "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": {
                "kubernetes.io/metadata.name": policed.name(),
            } } },
        },
    });
    for object in [policy, binding] {
        kubectl_with_input(&["apply", "-f", "-"], &object.to_string()).await;
    }
    let elsewhere = "--repository mirror.example.com/identity";
    let refused = until(
        "the policy",
        async || check(&policed, elsewhere).await,
        |it| it.0 == Some(1),
    )
    .await;
    assert!(
        refused.1.contains("the registry is not allowed"),
        "{}",
        refused.1
    );
    assert_clean(&policed, "").await;
}

#[tokio::test]
async fn missing_rights_are_named_before_the_installation() {
    let _node = empty().await;
    let namespace = with_workload("pre-rights", &[]).await;
    let user = e2e::User::with_role(&namespace, "azure-wi-azwi").await;
    let line = user.azwi(&format!("check --pre -n {}", namespace.name()));
    let output = shell(&line).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("AZWI-I011") && text.contains("create deployments.apps"),
        "{text}"
    );
    assert!(
        text.contains("not checked: the right to create pods"),
        "{text}"
    );
    let output = shell(&format!("{line} --category W")).await;
    assert_eq!(
        output.status.code(),
        Some(2),
        "a right is missing, and nothing else"
    );
}
