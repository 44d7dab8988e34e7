//! The chart's roles are what the webhook needs, no less; and what it does when they are taken away.
//! The last of the programs: the audit log tells of all tests before it.

use e2e::authority::{bundle, near_its_end, set_bundle};
use e2e::{
    Container, Namespace, Pod, WEBHOOK_USER, audited, kubectl, metrics, replicas, system, until,
};
use serde_json::Value;

const CLUSTER_ROLE: &str = "clusterrole/azure-wi-webhook-manager-role";

/// The webhook's calls that were refused for lack of a right.
fn forbidden() -> Vec<Value> {
    let events = audited().into_iter();
    events
        .filter(|event| {
            event["user"]["username"] == WEBHOOK_USER && event["responseStatus"]["code"] == 403
        })
        .collect()
}

/// Whether the webhook has ever done this.
fn has_done(verb: &str, resource: &str) -> bool {
    audited().iter().any(|event| {
        event["user"]["username"] == WEBHOOK_USER
            && event["verb"] == verb
            && event["objectRef"]["resource"] == resource
    })
}

async fn troubled() -> f64 {
    metrics().await["azwi_certificate_troubled"]
}

/// Sets the verbs that the webhook has on its own configuration.
async fn allow(verbs: &str) {
    let patch = format!(r#"[{{"op":"replace","path":"/rules/1/verbs","value":{verbs}}}]"#);
    kubectl(&["patch", CLUSTER_ROLE, "--type=json", "-p", &patch]).await;
}

#[tokio::test]
async fn the_charts_roles_are_enough_and_what_is_missing_is_told_once() {
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

    // It is not to write its bundle any more, and has reason to.
    allow(r#"["get", "list", "watch"]"#).await;
    let wanted = bundle().await;
    let foreign = [wanted.as_str(), near_its_end().certificate()].concat();
    set_bundle(&foreign).await;
    let count = replicas().await.len();
    until(
        "each replica's second try",
        async || forbidden().len(),
        |tries| *tries >= 2 * count,
    )
    .await;

    assert_eq!(troubled().await, count as f64);
    let reason = "reason=CertificateWriteForbidden";
    let events = system(&["get", "events", "--field-selector", reason, "-o", "name"]).await;
    let told = events.lines().count();
    assert!((1..=count).contains(&told), "{told} events: {events}");
    for replica in replicas().await {
        let name = replica.metadata.name.expect("a pod has a name");
        let log = system(&["logs", &name]).await;
        let complaints = log.matches("cannot write caBundle").count();
        assert!(complaints <= 1, "{log}");
    }
    // It serves on.
    let (namespace, _) = Namespace::with_identity("forbidden").await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    namespace.dry_run(&pod.manifest()).await;

    allow(r#"["get", "list", "watch", "patch"]"#).await;
    until("the bundle to be healed", bundle, |it| *it == wanted).await;
    until("the trouble to end", troubled, |count| *count == 0.0).await;
}
