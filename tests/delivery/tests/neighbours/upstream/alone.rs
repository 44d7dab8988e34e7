//! Upstream alone, as the baseline of the other tests.

use delivery::empty;
use e2e::authority::{bundle, certificates, is_trusted, store, stored};
use e2e::{
    Container, DEPLOYMENT, Namespace, Pod, SYSTEM_NAMESPACE, claims, replicas, system, until,
};
use testkit::certificate::Authority;

use super::installation::{install, is_running};

#[tokio::test]
async fn upstream_replaces_a_certificate_that_it_did_not_make_and_injects_pods() {
    let _node = empty().await;
    install(SYSTEM_NAMESPACE).await;
    assert!(is_running().await);
    let first = stored().await;
    assert_eq!(certificates(&bundle().await), certificates(&first));

    let other = Authority::new("other").expect("the machine has randomness");
    store_as_upstream(&other).await;
    system(&["rollout", "restart", DEPLOYMENT]).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
    let new = certificates(&stored().await);
    assert_ne!(new, certificates(other.certificate()));
    assert_ne!(new, certificates(&first));
    let is_new = |it: &String| certificates(it) == new;
    until("the new authority in caBundle", bundle, is_new).await;
    for replica in replicas().await {
        assert!(is_trusted(&replica, &new).await, "{replica:?}");
    }

    let (namespace, identity) = Namespace::with_identity("upstream").await;
    let pod = Pod::new("pod")
        .with_proxy()
        .container(Container::asking_imds("app"));
    namespace.run_to_success(&pod).await;
    let answer = namespace.log("pod", "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

/// Stores an authority and a certificate in the form of upstream's.
async fn store_as_upstream(authority: &Authority) {
    let name = format!("azure-wi-webhook-webhook-service.{SYSTEM_NAMESPACE}.svc");
    let server = authority.server("webhook", &[&name]).expect("a DNS name");
    store(&[
        ("ca.crt", authority.certificate()),
        ("ca.key", &authority.key()),
        ("tls.crt", &server.certificate),
        ("tls.key", &server.key),
    ])
    .await;
}
