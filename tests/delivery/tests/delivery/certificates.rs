//! Certificates that the webhook did not make itself, and the change from and to its own.

use delivery::{Issued, documented, empty, file, install, kinds_of_others, ready};
use e2e::authority::{bundle, certificates, is_trusted, stored};
use e2e::{
    CONFIGURATION, Container, Load, Namespace, Pod, SYSTEM_NAMESPACE, replicas, system,
    system_json, until,
};
use rustls::pki_types::CertificateDer;

const PAGE: &str = "docs/certificates.md";
const NEW_SECRET: &str = "webhook-tls";

#[tokio::test]
async fn changes_the_certificate_mode_and_back_without_refusing_a_pod() {
    let _node = empty().await;
    install("--wait --timeout 2m").await;
    let own = stored().await;
    let issued = Issued::for_the_webhook();
    issued.store(NEW_SECRET).await;
    let new = file("new-ca.pem", issued.authority.certificate());
    let (namespace, _) = Namespace::with_identity("modes").await;
    let load = Load::start(&namespace, 50).await;

    // From the webhook's own certificate to cert-manager's.
    let both = documented(PAGE, "authorities=").with("<new authority>", &new);
    let _ = both.run().await;
    let both = [own.as_str(), issued.authority.certificate()].concat();
    until("both authorities", bundle, |it| {
        certificates(it) == certificates(&both)
    })
    .await;
    let change = documented(PAGE, "secretName=<secret>\n").with("<secret>", NEW_SECRET);
    let _ = change.run().await;
    ready().await;
    assert_all_serve_with(&certificates(issued.authority.certificate())).await;
    issued.inject().await;
    let secrets = system(&["get", "secrets", "-o", "name"]).await;
    assert!(
        !secrets.contains("azure-wi-webhook-server-cert"),
        "{secrets}"
    );

    // Back to the webhook's own.
    let _ = documented(PAGE, "certificates.mode=own").run().await;
    ready().await;
    let own = certificates(&stored().await);
    let (current, previous) = own.split_at(1);
    assert_eq!(
        previous,
        certificates(issued.authority.certificate()),
        "the old replicas' authority stays trusted"
    );
    assert_all_serve_with(current).await;

    load.stop().await.assert_all_injected();

    // With --force-conflicts, the chart takes the field from the webhook.
    let _ = documented(PAGE, "--force-conflicts")
        .with("<secret>", NEW_SECRET)
        .with("<new authority>", &new)
        .run()
        .await;
    ready().await;
    assert_all_serve_with(&certificates(issued.authority.certificate())).await;
    assert_eq!(
        certificates(&bundle().await),
        certificates(issued.authority.certificate())
    );
}

#[tokio::test]
async fn serves_with_the_certificate_that_cert_manager_makes() {
    let _node = empty().await;
    kinds_of_others().await;
    install("--set certificates.mode=cert-manager").await;
    let issued = act_as_cert_manager().await;
    ready().await;

    assert_all_serve_with(&certificates(issued.authority.certificate())).await;
    let (namespace, identity) = Namespace::with_identity("cert-manager").await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    let pod = namespace.dry_run(&pod.manifest()).await;
    let environment = pod["spec"]["containers"][0]["env"].to_string();
    assert!(environment.contains(&identity.client_id), "{environment}");
}

async fn assert_all_serve_with(authority: &[CertificateDer<'static>]) {
    for replica in replicas().await {
        assert!(is_trusted(&replica, authority).await, "{replica:?}");
    }
}

/// Does what cert-manager does for the configuration's annotation and the Certificate that it names.
async fn act_as_cert_manager() -> Issued {
    let configuration = system_json(&["get", "mutatingwebhookconfiguration", CONFIGURATION]).await;
    let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    let from = from.as_str().expect("the annotation names the Certificate");
    let (namespace, name) = from.split_once('/').expect("namespace/name");
    assert_eq!(namespace, SYSTEM_NAMESPACE);
    let certificate = system_json(&["get", "certificate", name]).await;
    let names = certificate["spec"]["dnsNames"].as_array();
    let names = names.expect("the certificate has names").iter();
    let names: Vec<_> = names.filter_map(|name| name.as_str()).collect();
    let secret = certificate["spec"]["secretName"].as_str();
    let issued = Issued::new(&names);
    issued
        .store(secret.expect("the certificate has a Secret"))
        .await;
    issued.inject().await;
    issued
}
