//! A user deletes or edits the webhook's objects.

use e2e::authority::{bundle, certificates, set_bundle, store, stored};
use e2e::{
    CONFIGURATION, DEPLOYMENT, Load, Namespace, SECRET, configuration_of_the_chart, kubectl,
    kubectl_with_input, metrics, replicas, system, until,
};

use crate::{alone, assert_all_is_well};

/// The webhook makes its Secret again, the only one that its role lets it create. No review is lost.
#[tokio::test]
async fn replaces_a_deleted_or_damaged_secret() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("secret").await;
    let before = certificates(&bundle().await);
    let load = Load::start(&namespace, 20).await;

    system(&["delete", "secret", SECRET]).await;
    let renewed = until("a Secret with an authority", stored_if_there, |it| {
        !it.is_empty()
    })
    .await;
    assert_new_and_trusted(&renewed, &before).await;

    store(&[("ca.crt", "damaged"), ("ca.key", "damaged")]).await;
    let is_whole = |it: &String| it.contains("BEGIN CERTIFICATE");
    let again = until("a Secret with an authority", stored_if_there, is_whole).await;
    assert_ne!(certificates(&again)[0], certificates(&renewed)[0]);
    assert_new_and_trusted(&again, &before).await;
    load.stop().await.assert_all_injected();
}

/// Without the Secret, the replicas restore the bundle from memory: API servers trust them all the time
/// that it is missing.
#[tokio::test]
async fn restores_a_bundle_that_is_lost_together_with_the_secret() {
    let _alone = alone().await;
    let wanted = bundle().await;
    system(&["delete", "secret", SECRET]).await;
    set_bundle("").await;
    // With another Secret, its authority would come first.
    until("the bundle", bundle, |it| *it == wanted).await;
    let (namespace, _) = Namespace::with_identity("restored").await;
    let load = Load::start(&namespace, 20).await;
    let renewed = until("a Secret with an authority", stored_if_there, |it| {
        !it.is_empty()
    })
    .await;
    assert_new_and_trusted(&renewed, &certificates(&wanted)).await;
    load.stop().await.assert_all_injected();
}

async fn stored_if_there() -> String {
    let found = system(&["get", "secret", SECRET, "--ignore-not-found", "-o", "name"]).await;
    if found.is_empty() {
        String::new()
    } else {
        stored().await
    }
}

/// Asserts that the new authority is in the bundle, before those that replicas still serve with.
async fn assert_new_and_trusted(
    renewed: &str,
    before: &[impl PartialEq<rustls::pki_types::CertificateDer<'static>>],
) {
    let new = certificates(renewed).remove(0);
    assert!(before.iter().all(|old| *old != new));
    let in_bundle = |pem: &String| certificates(pem).first() == Some(&new);
    let bundled = until("the authority in the bundle", bundle, in_bundle).await;
    let bundled = certificates(&bundled);
    assert!(before.iter().all(|old| bundled.iter().any(|it| old == it)));
}

/// Without its configuration the webhook gets no pods. It has no right to create the configuration, and
/// reports that. Once the chart's manifests are applied again, the webhook fills in the bundle.
#[tokio::test]
async fn reports_a_deleted_configuration_and_fills_it_in_once_it_is_back() {
    let _alone = alone().await;
    let (namespace, identity) = Namespace::with_identity("configuration").await;
    let wanted = bundle().await;
    kubectl(&["delete", "mutatingwebhookconfiguration", CONFIGURATION]).await;
    let count = replicas().await.len() as f64;
    let degraded = async || metrics().await["azwi_certificate_troubled"];
    until("both to report the error", degraded, |now| *now == count).await;
    for replica in replicas().await {
        let name = replica.metadata.name.expect("a pod has a name");
        let log = system(&["logs", &name]).await;
        let report = format!("there is no MutatingWebhookConfiguration {CONFIGURATION}");
        assert!(log.contains(&report), "{log}");
    }
    // As docs/security.md says: such a pod gets nothing.
    let of_a_pod = async || namespace.client_id_of_a_pod().await;
    assert_eq!(of_a_pod().await, None);

    let manifest = configuration_of_the_chart().await;
    kubectl_with_input(&["apply", "-f", "-"], &manifest).await;
    until("the bundle to be filled in", bundle, |it| *it == wanted).await;
    let wanted = Some(identity.client_id);
    until("pods to get their identity", of_a_pod, |id| *id == wanted).await;
    until("the replicas to recover", degraded, |now| *now == 0.0).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
    assert_all_is_well(&namespace).await;
}
