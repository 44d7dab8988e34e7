//! The chart's alerts and dashboard with a real Prometheus.

use azure_emulator::{Respond, Rule, Service};
use delivery::{Prometheus, empty, install, kinds_of_others, upgrade};
use e2e::{Container, Namespace, Pod, SYSTEM_NAMESPACE, control, kubectl_json, until};
use serde_json::Value;

const NO_REPLICA: &str = "AzureWorkloadIdentityWebhookAbsent";
const NO_TOKENS: &str = "AzureWorkloadIdentityNoTokens";

#[tokio::test]
async fn a_real_prometheus_answers_the_dashboards_queries_and_its_alerts_fire_and_end() {
    let _node = empty().await;
    kinds_of_others().await;
    install(
        "--set prometheusRule.enabled=true --set serviceMonitor.enabled=true --set dashboard.enabled=true \
         --set proxy.metricsPort=9095 --set-file proxy.caBundle=\"$AZURE_CA_FILE\" --wait --timeout 2m",
    )
    .await;
    let prometheus = Prometheus::start(&object("prometheusrule", "azure-wi-webhook").await["spec"]);
    let (namespace, identity) = Namespace::with_identity("watched").await;
    let asks = "while true; do curl --silent --max-time 10 -H Metadata:true 'http://169.254.169.254/metadata/identity/oauth2/token\
                ?api-version=2018-02-01&resource=https://vault.azure.net' || true; sleep 1; done";
    let pod = Pod::new("shop")
        .with_proxy()
        .container(Container::shell("app", asks));
    namespace.apply(&pod.manifest()).await;

    for query in queries(&object("configmap", "azure-wi-dashboard").await) {
        let series = async || prometheus.query(&query).await;
        let _ = until(&format!("series of {query}"), series, |it| !it.is_empty()).await;
    }
    let firing = async || prometheus.firing().await;
    let _ = until("no alert", firing, Vec::is_empty).await;

    let down = Rule {
        service: Some(Service::Entra),
        client_id: Some(identity.client_id.clone()),
        respond: Some(Respond {
            status: 401,
            headers: [].into(),
            body: r#"{"error":"invalid_client","error_codes":[700213],"error_description":"AADSTS700213"}"#.into(),
            padding_bytes: 0,
        }),
        ..Rule::default()
    };
    let rule = control().add_rule(&down).await.expect("a rule");
    let other = "https://storage.azure.com";
    let failing = format!(
        "while true; do curl --silent --max-time 10 -H Metadata:true 'http://169.254.169.254/metadata/identity/oauth2/token\
         ?api-version=2018-02-01&resource={other}' || true; sleep 1; done"
    );
    namespace
        .exec("shop", "app", &format!("({failing}) >/dev/null 2>&1 &"))
        .await;
    let alerts = [NO_TOKENS];
    let _ = until("the alert of the pod", firing, |it| has_all(it, &alerts)).await;
    control()
        .remove_rule(rule)
        .await
        .expect("the rule is there");
    let _ = until("the alert's end", firing, Vec::is_empty).await;

    upgrade("--set replicaCount=0").await;
    let _ = until("the webhook's alert", firing, |it| {
        has_all(it, &[NO_REPLICA])
    })
    .await;
    upgrade("--set replicaCount=1 --wait --timeout 2m").await;
    let _ = until("its end", firing, Vec::is_empty).await;
}

fn has_all(firing: &[String], wanted: &[&str]) -> bool {
    wanted.iter().all(|it| firing.iter().any(|name| name == it))
}

async fn object(kind: &str, name: &str) -> Value {
    kubectl_json(&["get", kind, name, "--namespace", SYSTEM_NAMESPACE]).await
}

/// The queries of the dashboard that have an answer in every cluster in which a pod gets tokens.
fn queries(dashboard: &Value) -> Vec<String> {
    let text = dashboard["data"]["azure-workload-identity.json"].as_str();
    let dashboard: Value =
        serde_json::from_str(text.expect("it has a dashboard")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    let shown = panels
        .iter()
        .filter(|it| it["title"] != "Pods without a token");
    let targets = shown.filter_map(|it| it["targets"].as_array()).flatten();
    let queries = targets.filter_map(|it| it["expr"].as_str());
    let fill = |query: &str| {
        query
            .replace("$__rate_interval", "10s")
            .replace("$namespace", ".*")
    };
    queries.map(fill).collect()
}
