//! The certificates of cert-manager itself: its controller issues them, its injector writes `caBundle`.

use delivery::{Node, documented, empty, install, ready, shell};
use e2e::authority::{bundle, certificates, connect, stored};
use e2e::{Load, Namespace, kubectl_with_input, replicas, system, system_json, try_kubectl, until};
use rustls::pki_types::CertificateDer;
use serde_json::json;

const PAGE: &str = "docs/certificates.md";
/// The Certificate of the webhook, and its Secret.
const SERVING: &str = "azure-wi-webhook-certificate";
/// The Certificate of the authority that the chart creates, and its Secret.
const AUTHORITY: &str = "azure-wi-webhook-certificate-authority";

#[tokio::test]
async fn renewing_the_certificate_and_its_authority_refuses_no_pod() {
    let _node = with_cert_manager().await;
    install("--set certificates.mode=cert-manager --wait --timeout 3m").await;
    all_serve_the_secret().await;
    let first = file(SERVING, "ca.crt").await;
    until_trusted(&[&first]).await;
    let (namespace, _) = Namespace::with_identity("renewed").await;
    let load = Load::start(&namespace, 50).await;

    renew(SERVING).await;
    all_serve_the_secret().await;

    let before = file(SERVING, "tls.crt").await;
    system(&["delete", "secret", SERVING]).await;
    until_changed(SERVING, &before).await;
    all_serve_the_secret().await;
    assert_eq!(
        file(SERVING, "ca.crt").await,
        first,
        "the authority is as before"
    );

    renew(AUTHORITY).await;
    let second = file(AUTHORITY, "tls.crt").await;
    renew(SERVING).await;
    assert_eq!(file(SERVING, "ca.crt").await, second);
    // The replicas change later than the configuration, each at a time of its own.
    until_trusted(&[&first, &second]).await;
    all_serve_the_secret().await;

    load.stop().await.assert_all_injected();
}

#[tokio::test]
async fn changes_from_its_own_certificate_to_cert_managers_and_back_without_refusing_a_pod() {
    let _node = with_cert_manager().await;
    install("--wait --timeout 2m").await;
    let own = stored().await;
    let (namespace, _) = Namespace::with_identity("changed").await;
    let load = Load::start(&namespace, 50).await;

    let _ = documented(PAGE, "certificates.mode=cert-manager")
        .run()
        .await;
    ready().await;
    all_serve_the_secret().await;
    let issued = file(SERVING, "ca.crt").await;
    until_trusted(&[&own, &issued]).await;

    let _ = documented(PAGE, "certificates.mode=own").run().await;
    ready().await;
    let own_again = stored().await;
    let trusted = certificates(&own_again);
    for replica in replicas().await {
        assert!(
            connect(&replica, &trusted[..1]).await.is_ok(),
            "{replica:?}"
        );
    }
    load.stop().await.assert_all_injected();
}

#[tokio::test]
async fn serves_with_a_certificate_of_the_issuer_that_the_values_name() {
    let _node = with_cert_manager().await;
    kubectl_with_input(&["apply", "-f", "-"], ISSUER).await;
    let issuer = "--set certificates.issuer.name=everyones,certificates.issuer.kind=ClusterIssuer";
    install(&format!(
        "--set certificates.mode=cert-manager {issuer} --wait --timeout 3m"
    ))
    .await;
    all_serve_the_secret().await;
    until_trusted(&[&file(SERVING, "ca.crt").await]).await;

    let (namespace, identity) = Namespace::with_identity("issuer").await;
    let injected = async || namespace.client_id_of_a_pod().await;
    let wanted = Some(identity.client_id);
    until("a pod with its identity", injected, |it| *it == wanted).await;
}

/// An authority for the whole cluster.
const ISSUER: &str = r"
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: everyones, namespace: cert-manager}
spec: {isCA: true, commonName: everyones, secretName: everyones, issuerRef: {name: self-signed, kind: ClusterIssuer}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: everyones}
spec: {ca: {secretName: everyones}}
";

/// An empty node with cert-manager, as its chart installs it.
async fn with_cert_manager() -> Node {
    let node = empty().await;
    let folder = std::env::var("NEIGHBOUR_CERT_MANAGER")
        .expect("NEIGHBOUR_CERT_MANAGER is a folder: tests/neighbours/run makes it");
    let _ = shell(&format!(
        "tests/lib/import-images tests/neighbours/cert-manager/images {folder}
         helm upgrade --install cert-manager {folder}/cert-manager --namespace cert-manager --create-namespace \
             --set crds.enabled=true --set imageRegistry=registry.example.com --set startupapicheck.enabled=false \
             --wait --timeout 3m"
    ))
    .await;
    // Its webhook is called before its injector has written the authority of that.
    let issuer = json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": { "name": "is-it-called", "namespace": "default" },
        "spec": { "selfSigned": {} },
    })
    .to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    let called = async || try_kubectl(&create, &issuer).await;
    let _ = until("cert-manager's webhook", called, Result::is_ok).await;
    // Of the previous test: cert-manager has made their Secrets again.
    system(&["delete", "certificates,issuers", "--all"]).await;
    system(&["delete", "secrets", "--all"]).await;
    node
}

/// Does what `cmctl renew` does, and waits for the certificate.
async fn renew(certificate: &str) {
    let before = file(certificate, "tls.crt").await;
    let status = system_json(&["get", "certificate", certificate]).await;
    let mut conditions = status["status"]["conditions"].clone();
    let list = conditions.as_array_mut().expect("it has conditions");
    list.retain(|it| it["type"] != "Issuing");
    list.push(json!({ "type": "Issuing", "status": "True", "reason": "ManuallyTriggered" }));
    let patch = json!({ "status": { "conditions": conditions } }).to_string();
    system(&[
        "patch",
        "certificate",
        certificate,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ])
    .await;
    until_changed(certificate, &before).await;
}

async fn until_changed(secret: &str, before: &str) {
    let what = format!("a new certificate in {secret}");
    until(
        &what,
        async || file(secret, "tls.crt").await,
        |it| !it.is_empty() && it != before,
    )
    .await;
}

/// Waits until API servers trust exactly these authorities.
async fn until_trusted(authorities: &[&str]) {
    let wanted = certificates(&authorities.concat());
    until("the authorities in caBundle", bundle, |it| {
        certificates(it) == wanted
    })
    .await;
}

/// Waits until each replica serves the Secret's certificate.
async fn all_serve_the_secret() {
    let wanted = certificates(&file(SERVING, "tls.crt").await);
    let wanted = wanted.first().expect("the Secret has a certificate");
    until("all replicas to serve the certificate", served, |all| {
        all.len() == 2 && all.iter().all(|it| it.as_ref() == Some(wanted))
    })
    .await;
}

/// The certificate of each replica; `None` where `caBundle` does not trust it.
async fn served() -> Vec<Option<CertificateDer<'static>>> {
    let trusted = certificates(&bundle().await);
    let mut all = Vec::new();
    for replica in replicas().await {
        let stream = connect(&replica, &trusted).await.ok();
        all.push(stream.and_then(|it| Some(it.get_ref().1.peer_certificates()?[0].clone())));
    }
    all
}

/// A file of a Secret; empty without it.
async fn file(secret: &str, name: &str) -> String {
    let template = format!("go-template={{{{index .data {name:?} | base64decode}}}}");
    let get = [
        "get",
        "secret",
        secret,
        "--ignore-not-found",
        "-o",
        &template,
    ];
    system(&get).await
}
