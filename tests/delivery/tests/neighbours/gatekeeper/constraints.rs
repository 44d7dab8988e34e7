//! Gatekeeper's policies on the injected containers, and on the webhook's own pods.

use std::collections::BTreeSet;

use contract::annotation;
use delivery::{documented, install, upgrade};
use e2e::{
    Container, DEPLOYMENT, Namespace, PROXY_IMAGE, Pod, SYSTEM_NAMESPACE, kubectl_json, system,
    until,
};
use serde_json::json;

use super::installation::{PRODUCT, with_gatekeeper};
use super::policy::{ADDED_CAPABILITIES, all, enforce, pairs, refusals};
use super::workload::{assert_gets_its_token, environment, redirect};

const PAGE: &str = "docs/restricted-namespaces.md";

#[tokio::test]
async fn a_policy_against_capabilities_is_named_before_refuses_redirect_and_admits_environment() {
    let _node = with_gatekeeper().await;
    let (namespace, identity) = Namespace::with_identity("capabilities").await;
    enforce(&[ADDED_CAPABILITIES], namespace.name(), &[]).await;
    let sentence = "[addedcapabilities] container azwi-proxy-init is refused";

    namespace.apply(&redirect("shop").deployment(0)).await;
    let named = check_before(&namespace).await;
    assert!(
        named.contains("AZWI-W015") && named.contains(sentence),
        "{named}"
    );
    namespace.apply(&environment("shop").deployment(0)).await;
    let clean = check_before(&namespace).await;
    assert!(clean.starts_with("0 errors, 0 warnings;"), "{clean}");

    install(PRODUCT).await;
    let refused = namespace.refused(&redirect("redirect").manifest()).await;
    assert!(refused.contains(sentence), "{refused}");
    assert_gets_its_token(
        &namespace,
        &identity,
        &environment("environment").manifest(),
    )
    .await;
}

#[tokio::test]
async fn the_usual_policies_refuse_what_the_redirect_needs_unless_its_image_is_exempt() {
    let _node = with_gatekeeper().await;
    install(PRODUCT).await;
    let (namespace, identity) = Namespace::with_identity("usual").await;
    enforce(&all(), namespace.name(), &[]).await;
    let careless = all().into_iter().map(|kind| (kind, "careless"));
    assert_eq!(
        refusals(&namespace, &careless_pod().manifest()).await,
        pairs(&careless.collect::<Vec<_>>()),
        "each policy refuses"
    );

    assert_eq!(
        refusals(&namespace, &environment("environment").manifest()).await,
        pairs(&[("CpuLimits", "azwi-proxy")])
    );
    let limited = |pod: Pod| pod.annotate(annotation::PROXY_CPU_LIMIT, "50m").manifest();
    assert_gets_its_token(&namespace, &identity, &limited(environment("environment"))).await;

    let redirect = redirect("redirect");
    let broken = [
        ("AddedCapabilities", "azwi-proxy-init"),
        ("NonRoot", "azwi-proxy-init"),
        ("UserIds", "azwi-proxy-init"),
        ("CpuLimits", "azwi-proxy-init"),
        ("CpuLimits", "azwi-proxy"),
    ];
    assert_eq!(
        refusals(&namespace, &redirect.manifest()).await,
        pairs(&broken)
    );
    assert_eq!(
        refusals(&namespace, &limited(redirect.clone())).await,
        pairs(&broken[..3])
    );
    let (image, _) = PROXY_IMAGE.split_once(":v").expect("it has a tag");
    enforce(&all(), namespace.name(), &[&format!("{image}:*")]).await;
    assert_gets_its_token(&namespace, &identity, &redirect.manifest()).await;
}

#[tokio::test]
async fn the_webhooks_own_pods_meet_the_usual_policies_and_restart() {
    let _node = with_gatekeeper().await;
    install(&format!("--set audit.enabled=true {PRODUCT}")).await;
    enforce(&all(), SYSTEM_NAMESPACE, &[]).await;
    until_audited(&[("CpuLimits", "manager"), ("CpuLimits", "audit")]).await;

    upgrade("--set resources.limits.cpu=1 --set audit.resources.limits.cpu=1 --wait --timeout 2m")
        .await;
    until_audited(&[]).await;
    system(&["rollout", "restart", DEPLOYMENT]).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
}

/// What the documented command writes.
async fn check_before(namespace: &Namespace) -> String {
    let check = documented(PAGE, "azwi check --pre").with("<namespace>", namespace.name());
    // It ends with 1 when there are warnings.
    check.and("|| true").run().await
}

/// A pod that no policy admits.
fn careless_pod() -> Pod {
    let container = Container::image("careless", "docker.io/busybox:latest").field(
        "securityContext",
        json!({ "capabilities": { "add": ["NET_ADMIN"] }, "runAsUser": 0 }),
    );
    Pod::new("careless").without_label().container(container)
}

/// Waits until Gatekeeper's audit has found this of the webhook's pods, for every constraint.
async fn until_audited(expected: &[(&str, &str)]) {
    let expected = pairs(expected);
    let audited = async || {
        let list = kubectl_json(&["get", "constraints"]).await;
        let mut found = BTreeSet::new();
        for constraint in list["items"].as_array().expect("a list") {
            constraint["status"]["auditTimestamp"].as_str()?;
            let violations = constraint["status"]["violations"].as_array();
            found.extend(violations.into_iter().flatten().map(|it| {
                let message = it["message"].as_str().unwrap_or_default();
                let container = message.split(' ').nth(1).unwrap_or_default();
                let name = constraint["metadata"]["name"].as_str().unwrap_or_default();
                (name.to_owned(), container.to_owned())
            }));
        }
        Some(found)
    };
    until("the audit", audited, |it| it.as_ref() == Some(&expected)).await;
}
