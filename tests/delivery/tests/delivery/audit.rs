//! The audit: pods that were made without the webhook get an Event and are in the metric; with evictions they are
//! replaced by working ones, one at a time.

use delivery::{documented, empty, install, upgrade};
use e2e::{Container, Namespace, Pod, kubectl, kubectl_json, system, until};
use serde_json::{Value, json};

const PAGE: &str = "docs/audit.md";
const AUDIT: &str = "deployment/azure-wi-audit";

#[tokio::test]
async fn reports_pods_without_a_token_and_replaces_them_one_at_a_time() {
    let _node = empty().await;
    let (namespace, _) = Namespace::with_identity("audit").await;
    namespace.apply(&deployment()).await;
    namespace
        .wait("deployment/shop", "condition=Available")
        .await;
    let before = pods(&namespace).await;
    assert_eq!(before.len(), 2);

    install("--set audit.enabled=true --wait --timeout 3m").await;
    let sample = format!(
        "azwi_audit_findings{{code=\"AZWI-W005\",namespace=\"{}\"}} 2\n",
        namespace.name()
    );
    let metrics = async || documented(PAGE, "grep azwi_audit").run().await;
    let _ = until("the metric", metrics, |it| it.contains(&sample)).await;
    let events = async || kubectl(&["describe", "-n", namespace.name(), "deployment/shop"]).await;
    let is_named = |it: &String| it.contains("NoToken") && it.contains("docs/checks.md#azwi-w005");
    let described = until("the Event", events, is_named).await;
    assert!(described.contains("2 pods, such as shop-"), "{described}");
    let listed = documented(PAGE, "reportingComponent").run().await;
    assert!(listed.contains("deployment/shop"), "{listed}");
    assert_eq!(
        names(&pods(&namespace).await),
        names(&before),
        "no eviction"
    );

    // A budget that allows none at first.
    let budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": { "name": "shop" },
        "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "shop" } } },
    });
    namespace.apply(&budget).await;
    upgrade("--set audit.evict=true --set logLevel=debug").await;
    system(&["rollout", "status", AUDIT, "--timeout=120s"]).await;
    let log = async || system(&["logs", AUDIT]).await;
    let _ = until("a refused eviction", log, |it| {
        it.contains("pod not evicted")
    })
    .await;
    assert_eq!(
        names(&pods(&namespace).await),
        names(&before),
        "the budget allows none"
    );
    kubectl(&[
        "delete",
        "poddisruptionbudget",
        "shop",
        "-n",
        namespace.name(),
    ])
    .await;
    system(&["rollout", "restart", AUDIT]).await;

    let is_replaced =
        |it: &Vec<Value>| it.len() == 2 && it.iter().all(|it| has_token(it) && is_ready(it));
    let mut after = until(
        "two pods with a token",
        async || pods(&namespace).await,
        is_replaced,
    )
    .await;
    after.sort_by_key(|it| it["metadata"]["creationTimestamp"].to_string());
    let [first, second] = after.try_into().expect("there are two");
    let ready = ready_since(&first);
    let made = second["metadata"]["creationTimestamp"].to_string();
    assert!(
        ready <= made,
        "the second was evicted before the first was replaced: {ready} {made}"
    );
    let gone = |it: &String| !it.contains("azwi_audit_findings{");
    let _ = until("no finding", metrics, gone).await;
    let log = system(&["logs", AUDIT]).await;
    assert_eq!(log.matches("pod evicted").count(), 2, "{log}");
}

fn deployment() -> Value {
    Pod::new("shop")
        .container(Container::shell("app", "sleep 100000"))
        .deployment(2)
}

/// The Deployment's pods that are not ending.
async fn pods(namespace: &Namespace) -> Vec<Value> {
    let mut list = kubectl_json(&["get", "pods", "-n", namespace.name(), "-l", "app=shop"]).await;
    let pods = list["items"].as_array_mut().expect("kubectl prints a list");
    pods.retain(|it| it["metadata"]["deletionTimestamp"].is_null());
    std::mem::take(pods)
}

fn names(pods: &[Value]) -> Vec<String> {
    let mut names: Vec<_> = pods
        .iter()
        .map(|it| it["metadata"]["name"].to_string())
        .collect();
    names.sort();
    names
}

fn has_token(pod: &Value) -> bool {
    pod["spec"]["volumes"]
        .to_string()
        .contains("api://AzureADTokenExchange")
}

fn ready(pod: &Value) -> Option<&Value> {
    let mut conditions = pod["status"]["conditions"].as_array()?.iter();
    conditions.find(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn is_ready(pod: &Value) -> bool {
    ready(pod).is_some()
}

fn ready_since(pod: &Value) -> String {
    ready(pod)
        .map(|it| it["lastTransitionTime"].to_string())
        .expect("it is ready")
}
