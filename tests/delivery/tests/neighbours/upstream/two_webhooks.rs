//! Both webhooks at once, by mistake. helm and the fixed names prevent it, until one of the two has other names.

use contract::{container, token, variable};
use delivery::{Issued, empty, file, ready, shell};
use e2e::{
    CONFIGURATION, Container, Identity, Namespace, Pod, SYSTEM_NAMESPACE, TENANT, claims, program,
};
use serde_json::{Value, json};

use super::installation::{command as upstream_command, install, uninstall};
use crate::parts::assert_has_one_of_each;

/// The namespace of upstream's installation.
const OTHER: &str = "upstream-system";

/// How the name of upstream's token volume begins: a hash of the pod's name follows.
const UPSTREAMS_VOLUME: &str = "azure-workload-identity-reserved-";

#[tokio::test]
async fn helm_refuses_to_install_one_beside_the_other() {
    let _node = empty().await;
    uninstall(OTHER).await;
    delivery::install("--wait --timeout 2m").await;
    let second = upstream_command(OTHER);
    assert_refused(&second).await;
    let (namespace, identity) = Namespace::with_identity("refused").await;
    let client_id = namespace.client_id_of_a_pod().await;
    assert_eq!(client_id, Some(identity.client_id));
}

#[tokio::test]
async fn a_pod_that_upstream_injects_first_has_one_of_each_part() {
    let _node = empty().await;
    let ours = install_both("z-second").await;
    assert_pods_work(&[UPSTREAMS_VOLUME]).await;
    assert_azwi_names_both(ours).await;
    uninstall(OTHER).await;
}

/// Upstream always adds a token volume of its own, also where it finds everything else.
#[tokio::test]
async fn a_pod_that_upstream_injects_last_has_another_token_volume_only() {
    let _node = empty().await;
    let ours = install_both("a-second").await;
    assert_pods_work(&[token::VOLUME, UPSTREAMS_VOLUME]).await;
    assert_azwi_names_both(ours).await;
    uninstall(OTHER).await;
}

/// Upstream's webhook finds its configuration by its fixed name, so ours is the one with another. The API server calls
/// webhooks in the order of these names.
async fn install_both(ours: &str) -> &str {
    uninstall(OTHER).await;
    let issued = Issued::for_the_webhook();
    issued.store("webhook-tls").await;
    let authority = file("ca.pem", issued.authority.certificate());
    let _ = shell(&format!(
        "helm template azure-workload-identity deploy/chart --namespace {SYSTEM_NAMESPACE} \
         --set azureTenantID={TENANT} --set-file proxy.caBundle=$AZURE_CA_FILE \
         --set certificates.mode=files,certificates.secretName=webhook-tls \
         --set-file certificates.caBundle={authority} |
         sed 's/{CONFIGURATION}/{ours}/; s/azure-wi-webhook-manager-role/second-role/' |
         kubectl apply --server-side --namespace {SYSTEM_NAMESPACE} -f -"
    ))
    .await;
    install(OTHER).await;
    ready().await;
    ours
}

/// Runs a pod with the label alone, and one with the sidecar, whose first container asks for a token too.
async fn assert_pods_work(token_volumes: &[&str]) {
    let (namespace, identity) = Namespace::with_identity("two").await;
    let reads = format!("test -s \"${}\"", variable::FEDERATED_TOKEN_FILE);
    let plain = Pod::new("plain").container(Container::shell("app", &reads));
    let plain = namespace.run_to_success(&plain).await.pod;
    assert_has_one_of_each(&json!(plain), &[], token_volumes);

    let proxied = Pod::new("proxied")
        .with_proxy()
        .init_container(Container::asking_imds("early"))
        .container(Container::asking_imds("app"));
    let proxied = namespace.run_to_success(&proxied).await.pod;
    let injected = [container::PROXY_INIT, container::PROXY];
    assert_has_one_of_each(&json!(proxied), &injected, token_volumes);
    for container in ["early", "app"] {
        assert_is_of(&identity, &namespace.log("proxied", container).await);
    }
}

async fn assert_refused(helm: &str) {
    let printed = shell(&format!("! {helm}")).await;
    let reason = "exists and cannot be imported into the current release";
    assert!(printed.contains(reason), "{printed}");
}

fn assert_is_of(identity: &Identity, answer: &str) {
    assert_eq!(claims(answer)["appid"], identity.client_id, "{answer}");
}

async fn assert_azwi_names_both(ours: &str) {
    let output = program::shell("azwi check --output json").await;
    let report = program::text(&output);
    let parsed: Value = serde_json::from_slice(&output.stdout).expect(&report);
    let findings = parsed["findings"].as_array().expect("findings");
    let second = findings.iter().find(|it| it["code"] == "AZWI-I005");
    let second = second.unwrap_or_else(|| panic!("no finding: {report}"));
    let cause = second["cause"].as_str().expect("a cause");
    assert!(
        cause.contains(CONFIGURATION) && cause.contains(ours),
        "{cause}"
    );
}
