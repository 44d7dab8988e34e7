//! The proxy as a plain container, the form for API servers before 1.32, and the rolling restart that a
//! changed chart value causes.

use std::io::{Write, stderr};

use contract::annotation;
use contract::container::PROXY;
use e2e::{Container, Load, Namespace, Pod, helm_upgrade, kubectl, kubectl_json, sidecar};
use serde_json::json;

use crate::alone;

#[tokio::test]
async fn changes_to_the_plain_form_under_load() {
    let _alone = alone().await;
    let (namespace, identity) = Namespace::with_identity("plain").await;
    upgrade_under_load(&namespace, "nativeSidecar=off").await;

    let spec = sidecar::injected(&namespace).await;
    assert_eq!(
        sidecar::names(&spec["initContainers"]),
        ["azwi-proxy-init", "early"]
    );
    assert_eq!(
        sidecar::names(&spec["containers"]),
        ["azwi-proxy", "app", "second"]
    );
    sidecar::assert_kubectl_selects_the_users_container(&namespace).await;
    sidecar::assert_the_application_waits_for_a_slow_proxy(&namespace, &identity).await;
    assert_a_deleted_pod_does_not_wait_for_its_grace_period(&namespace).await;
    assert_a_job_completes_when_its_application_ends_the_sidecar(&namespace).await;
    helm_upgrade(&["--set", "nativeSidecar=auto"]).await;
}

async fn assert_a_deleted_pod_does_not_wait_for_its_grace_period(namespace: &Namespace) {
    let application = "trap 'exit 0' TERM; while :; do sleep 1; done";
    let pod = Pod::new("ending")
        .with_proxy()
        .field("terminationGracePeriodSeconds", json!(600))
        .container(Container::shell("app", application));
    namespace.apply(&pod.manifest()).await;
    namespace.exec(pod.name(), "app", "true").await;
    let of = ["-n", namespace.name(), "pod/ending"];
    kubectl(&[&["delete", "--timeout=60s"], &of[..]].concat()).await;
}

async fn assert_a_job_completes_when_its_application_ends_the_sidecar(namespace: &Namespace) {
    let redirected = "-H Metadata:true http://169.254.169.254/quitquitquit";
    let with_secret = "-H Metadata:true -H \"X-IDENTITY-HEADER: $IDENTITY_HEADER\" \
                       \"${IDENTITY_ENDPOINT%/msi/token}/quitquitquit\"";
    let jobs = [
        ("quits-redirected", "redirect", redirected),
        ("quits-with-secret", "environment", with_secret),
    ];
    for (name, mode, request) in jobs {
        let line = format!("trap 'curl --silent --fail-with-body -X POST {request}' EXIT; true");
        let mut pod = Pod::new(name)
            .with_proxy()
            .annotate(annotation::PROXY_MODE, mode)
            .annotate(annotation::PROXY_QUIT, "true")
            .container(Container::shell("app", &line))
            .manifest();
        namespace
            .apply(&json!({
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": { "name": name },
                "spec": {
                    "backoffLimit": 0,
                    "template": { "metadata": pod["metadata"].take(), "spec": pod["spec"].take() },
                },
            }))
            .await;
    }
    for (name, ..) in jobs {
        let job = format!("job/{name}");
        namespace.wait(&job, "condition=complete").await;
        let selector = format!("job-name={name}");
        let of = ["get", "pods", "-n", namespace.name(), "-l", &selector];
        let pods = kubectl_json(&of).await;
        let statuses = pods["items"][0]["status"]["containerStatuses"].as_array();
        let mut statuses = statuses.into_iter().flatten();
        let proxy = statuses.find(|it| it["name"] == PROXY).unwrap();
        assert_eq!(proxy["state"]["terminated"]["exitCode"], 0, "{proxy}");
        assert_eq!(proxy["restartCount"], 0, "{proxy}");
    }
}

/// Replaces both replicas while 200 pods a second are created, and asserts that none is refused.
async fn upgrade_under_load(namespace: &Namespace, value: &str) {
    let load = Load::start(namespace, 200).await;
    helm_upgrade(&["--set", value]).await;
    let tally = load.stop().await;
    let _ = writeln!(
        stderr(),
        "{} pods, {:.0} a second, while both replicas were replaced: {} refused",
        tally.injected + tally.failures.len(),
        tally.rate(),
        tally.failures.len()
    );
    tally.assert_all_injected();
}
