//! The chart's roles are sufficient, and a missing right is reported. Test programs run in the order of
//! their names, so this one reads the audit log of the tests before it.

mod azwi;

use e2e::authority::{bundle, near_its_end, set_bundle};
use e2e::{
    Container, Namespace, Pod, WEBHOOK_USER, audited, kubectl, metrics, replicas, system, until,
};
use serde_json::Value;

const CLUSTER_ROLE: &str = "clusterrole/azure-wi-webhook-manager-role";

/// The webhook's calls that the API server refused for lack of a right.
fn forbidden() -> Vec<Value> {
    let events = audited().into_iter();
    events
        .filter(|event| {
            event["user"]["username"] == WEBHOOK_USER
                && event["responseStatus"]["code"] == 403
                && !is_starting(event)
        })
        .collect()
}

/// Whether the API server had just started and knew no role at all, not even those that every user has.
fn is_starting(event: &Value) -> bool {
    let reason = event["annotations"]["authorization.k8s.io/reason"].as_str();
    reason.is_some_and(|it| it.contains(r#""system:discovery" not found"#))
}

/// Whether the audit log has such a call of the webhook's.
fn has_done(verb: &str, resource: &str) -> bool {
    audited().iter().any(|event| {
        event["user"]["username"] == WEBHOOK_USER
            && event["verb"] == verb
            && event["objectRef"]["resource"] == resource
    })
}

async fn degraded() -> f64 {
    metrics().await["azwi_certificate_troubled"]
}

/// Sets the verbs that the webhook has on its own configuration.
async fn allow(verbs: &str) {
    let patch = format!(r#"[{{"op":"replace","path":"/rules/1/verbs","value":{verbs}}}]"#);
    kubectl(&["patch", CLUSTER_ROLE, "--type=json", "-p", &patch]).await;
}

#[tokio::test]
async fn the_charts_roles_suffice_and_a_missing_right_is_reported_once() {
    for (verb, resource) in [
        ("watch", "serviceaccounts"),
        ("watch", "secrets"),
        ("patch", "secrets"),
        ("watch", "mutatingwebhookconfigurations"),
        ("patch", "mutatingwebhookconfigurations"),
    ] {
        assert!(
            has_done(verb, resource),
            "the webhook did not {verb} {resource}"
        );
    }
    let none = forbidden();
    assert!(none.is_empty(), "forbidden: {none:#?}");

    // The webhook loses the right to write its bundle, and has to write it.
    allow(r#"["get", "list", "watch"]"#).await;
    let wanted = bundle().await;
    let foreign = [wanted.as_str(), near_its_end().certificate()].concat();
    set_bundle(&foreign).await;
    let count = replicas().await.len();
    until(
        "each replica's second attempt",
        async || forbidden().len(),
        |tries| *tries >= 2 * count,
    )
    .await;

    assert_eq!(degraded().await, count as f64);
    let reason = "reason=CertificateWriteForbidden";
    let events = system(&["get", "events", "--field-selector", reason, "-o", "name"]).await;
    let reported = events.lines().count();
    assert!(
        (1..=count).contains(&reported),
        "{reported} events: {events}"
    );
    for replica in replicas().await {
        let name = replica.metadata.name.expect("a pod has a name");
        let log = system(&["logs", &name]).await;
        let complaints = log.matches("cannot write caBundle").count();
        assert!(complaints <= 1, "{log}");
    }
    // It still serves.
    let (namespace, _) = Namespace::with_identity("forbidden").await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    namespace.dry_run(&pod.manifest()).await;

    allow(r#"["get", "list", "watch", "patch"]"#).await;
    until("the bundle to be repaired", bundle, |it| *it == wanted).await;
    until("the replicas to recover", degraded, |count| *count == 0.0).await;
}
