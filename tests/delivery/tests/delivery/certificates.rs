//! Certificates of somebody else's, and the change from and to the webhook's own.

use delivery::{Issued, documented, empty, file, install, kinds_of_others, ready};
use e2e::authority::{bundle, certificates, is_trusted, stored};
use e2e::{
    CONFIGURATION, Container, Load, Namespace, Pod, SYSTEM_NAMESPACE, replicas, system, until,
};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

const PAGE: &str = "docs/certificates.md";
const NEW_SECRET: &str = "webhook-tls";

#[tokio::test]
async fn the_mode_changes_forth_and_back_and_no_pod_is_refused() {
    let _node = empty().await;
    install("--wait --timeout 2m").await;
    let own = stored().await;
    let issued = Issued::for_the_webhook();
    issued.store(NEW_SECRET).await;
    let new = file("new-ca.pem", &issued.ca);
    let (namespace, _) = Namespace::with_identity("modes").await;
    let load = Load::start(&namespace, 50).await;

    // Forth.
    let both = documented(PAGE, "authorities=").with("<new authority>", &new);
    let _ = both.run().await;
    let both = [own.as_str(), &issued.ca].concat();
    until("both authorities", bundle, |it| {
        certificates(it) == certificates(&both)
    })
    .await;
    let change = documented(PAGE, "secretName=<secret>\n").with("<secret>", NEW_SECRET);
    let _ = change.run().await;
    ready().await;
    assert_all_serve_with(&certificates(&issued.ca)).await;
    issued.inject().await;
    let secrets = system(&["get", "secrets", "-o", "name"]).await;
    assert!(
        !secrets.contains("azure-wi-webhook-server-cert"),
        "{secrets}"
    );

    // And back.
    let _ = documented(PAGE, "certificates.mode=own").run().await;
    ready().await;
    let own = certificates(&stored().await);
    let (current, former) = own.split_at(1);
    assert_eq!(
        former,
        certificates(&issued.ca),
        "what the old replicas have stays trusted"
    );
    assert_all_serve_with(current).await;

    load.stop().await.assert_all_injected();

    // The chart takes the field from the webhook, if it is told to.
    let _ = documented(PAGE, "--force-conflicts")
        .with("<secret>", NEW_SECRET)
        .with("<new authority>", &new)
        .run()
        .await;
    ready().await;
    assert_all_serve_with(&certificates(&issued.ca)).await;
    assert_eq!(certificates(&bundle().await), certificates(&issued.ca));
}

#[tokio::test]
async fn cert_manager_makes_the_certificate() {
    let _node = empty().await;
    kinds_of_others().await;
    install("--set certificates.mode=cert-manager").await;
    let issued = act_as_cert_manager().await;
    ready().await;

    assert_all_serve_with(&certificates(&issued.ca)).await;
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

/// Does what the configuration's annotation and the certificate that it names ask for.
async fn act_as_cert_manager() -> Issued {
    let configuration = object("mutatingwebhookconfiguration", CONFIGURATION).await;
    let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    let from = from
        .as_str()
        .expect("the injector is told where the authority is");
    let (namespace, name) = from.split_once('/').expect("namespace/name");
    assert_eq!(namespace, SYSTEM_NAMESPACE);
    let certificate = object("certificate", name).await;
    let names: Vec<String> = serde_json::from_value(certificate["spec"]["dnsNames"].clone())
        .expect("the certificate has names");
    let secret = certificate["spec"]["secretName"].as_str();
    let issued = Issued::new(&names);
    issued
        .store(secret.expect("the certificate has a Secret"))
        .await;
    issued.inject().await;
    issued
}

async fn object(kind: &str, name: &str) -> Value {
    let printed = system(&["get", kind, name, "-o", "json"]).await;
    serde_json::from_str(&printed).expect("kubectl prints JSON")
}
