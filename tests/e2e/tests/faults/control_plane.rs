//! The API server and etcd fail.

use e2e::authority::{bundle, near_its_end, set_bundle};
use e2e::{
    CONFIGURATION, Container, DEPLOYMENT, Namespace, Pod, WEBHOOK_USER, container_id, kubectl,
    kubectl_with_input, metrics, replicas, restart_api_server, system, task, try_kubectl, until,
};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Duration, sleep};

use crate::{alone, assert_all_is_well};

/// How long the API server is stopped.
const FROZEN: Duration = Duration::from_secs(8);

async fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-euc", script]).output().await;
    let output = output.expect("sh starts");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Drops all of etcd's history.
async fn compact() {
    const ETCD: &str = "http://127.0.0.1:2379/v3/kv";
    // Any key, in base64: the answer contains the revision.
    let range = format!("curl --silent --fail {ETCD}/range -d '{{\"key\":\"Lw==\"}}'");
    let answer: Value = serde_json::from_str(&shell(&range).await).expect("etcd answers JSON");
    let revision = answer["header"]["revision"].as_str();
    let revision = revision.expect("the answer has the revision");
    let body = json!({ "revision": revision, "physical": true });
    shell(&format!(
        "curl --silent --fail {ETCD}/compaction -d '{body}'"
    ))
    .await;
}

/// Both replicas are stopped while an account changes, etcd's history is compacted, and the API server
/// restarts: the watches cannot continue from their last revision (410 Gone).
#[tokio::test]
async fn watches_recover_changes_from_before_etcd_was_compacted() {
    let _alone = alone().await;
    let (namespace, identity) = Namespace::with_identity("compacted").await;
    let of_a_pod = async || namespace.client_id_of_a_pod().await;
    let original = Some(identity.client_id);
    until("the account", of_a_pod, |id| *id == original).await;
    let ids: Vec<_> = replicas().await.iter().map(container_id).collect();
    for id in &ids {
        task::signal(id, "SIGSTOP").await;
    }
    let changed = "cccccccc-0000-4000-8000-000000000001";
    namespace.service_account("app", changed).await;
    compact().await;
    restart_api_server().await;
    for id in &ids {
        task::signal(id, "SIGCONT").await;
    }
    let changed = Some(changed.to_owned());
    until("the changed account", of_a_pod, |id| *id == changed).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
    let failing = async || metrics().await["azwi_service_account_watch_failing"];
    until("the watches to continue", failing, |count| *count == 0.0).await;
    assert_all_is_well(&namespace).await;
}

/// While the API server is stopped, running applications get tokens; once it continues, pods are
/// created again.
#[tokio::test]
async fn a_frozen_api_server_does_not_affect_running_pods() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("api-frozen").await;
    let ask = "while sleep 0.2; do curl --silent --max-time 10 -H Metadata:true -o /dev/null \
        -w '%{http_code}\\n' \
        'http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net'; \
        done";
    let pod = Pod::new("app")
        .with_proxy()
        .container(Container::shell("app", ask));
    namespace.apply(&pod.manifest()).await;
    namespace.exec("app", "app", "true").await;
    let pid = shell("pidof kube-apiserver").await;
    shell(&format!("kill -STOP {pid}")).await;
    sleep(FROZEN).await;
    shell(&format!("kill -CONT {pid}")).await;
    let ready = async || try_kubectl(&["get", "--raw", "/readyz"], "").await.is_ok();
    until("the API server to answer", ready, |ready| *ready).await;

    let answers = namespace.log("app", "app").await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.lines().partition(|status| *status == "200");
    assert!(good.len() >= 20 && bad.is_empty(), "{answers}");
    let of_a_pod = async || namespace.client_id_of_a_pod().await;
    until("pods to be created", of_a_pod, Option::is_some).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
    assert_all_is_well(&namespace).await;
    kubectl(&[
        "delete",
        "pod",
        "app",
        "-n",
        namespace.name(),
        "--wait=false",
    ])
    .await;
}

/// An admission policy forbids the webhook's writes: the webhook reports that, and still serves.
#[tokio::test]
async fn a_policy_against_the_webhooks_writes_is_reported_and_costs_no_review() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("friday").await;
    for mut object in friday() {
        object["apiVersion"] = "admissionregistration.k8s.io/v1".into();
        object["metadata"] = json!({ "name": "friday" });
        kubectl_with_input(&["apply", "-f", "-"], &object.to_string()).await;
    }
    let as_webhook = format!("--as={WEBHOOK_USER}");
    let write = [
        "patch",
        "mutatingwebhookconfiguration",
        CONFIGURATION,
        "--dry-run=server",
        "--patch={\"metadata\":{\"annotations\":{\"a\":\"b\"}}}",
        &as_webhook,
    ];
    let refused = async || try_kubectl(&write, "").await.err().unwrap_or_default();
    until("the policy to hold", refused, |it| it.contains("Fridays")).await;

    let wanted = bundle().await;
    let both = [wanted.as_str(), near_its_end().certificate()].concat();
    set_bundle(&both).await;
    let count = replicas().await.len() as f64;
    let degraded = async || metrics().await["azwi_certificate_troubled"];
    until("both to report the error", degraded, |now| *now == count).await;
    for replica in replicas().await {
        let name = replica.metadata.name.expect("a pod has a name");
        let log = system(&["logs", &name]).await;
        let reports = log.matches("nothing changes on Fridays").count();
        assert_eq!(reports, 1, "the refusal is logged once: {log}");
    }
    assert_all_is_well(&namespace).await;

    for kind in [
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicy",
    ] {
        kubectl(&["delete", kind, "friday"]).await;
    }
    until("the bundle to be repaired", bundle, |it| *it == wanted).await;
    until("the replicas to recover", degraded, |now| *now == 0.0).await;
}

fn friday() -> [Value; 2] {
    let policy = json!({
        "kind": "ValidatingAdmissionPolicy",
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["admissionregistration.k8s.io"], "apiVersions": ["*"],
                "operations": ["UPDATE"], "resources": ["mutatingwebhookconfigurations"],
            }] },
            "matchConditions": [{
                "name": "webhook",
                "expression": format!("request.userInfo.username == '{WEBHOOK_USER}'"),
            }],
            "validations": [{ "expression": "false", "message": "nothing changes on Fridays" }],
        },
    });
    let binding = json!({
        "kind": "ValidatingAdmissionPolicyBinding",
        "spec": { "policyName": "friday", "validationActions": ["Deny"] },
    });
    [policy, binding]
}
