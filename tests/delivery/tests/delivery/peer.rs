//! From Azure/azure-workload-identity and back, as docs/migrate-azure-workload-identity.md says it.

use contract::annotation;
use delivery::peer::{self, Form, RELEASE};
use delivery::{documented, empty, file, ready};
use e2e::authority::{bundle, certificates};
use e2e::{Container, Load, Namespace, Pod, SECRET, TENANT, replicas, system, until};

const PAGE: &str = "docs/migrate-azure-workload-identity.md";

#[tokio::test]
async fn its_release_is_upgraded_and_rolled_back_and_no_pod_is_refused() {
    let _node = empty().await;
    let issued = peer::install(Form::Release).await;
    let secret = secret().await;
    let (namespace, _) = Namespace::with_identity("release").await;
    let load = Load::start(&namespace, 50).await;

    let odd = Pod::new("odd")
        .without_label()
        .annotate(annotation::INJECT_PROXY_SIDECAR, "yes")
        .container(Container::shell("app", "true"));
    namespace.apply(&odd.manifest()).await;
    let refused = documented(PAGE, "kubectl get pods --all-namespaces --output json")
        .run()
        .await;
    assert_eq!(refused.trim(), format!("{}/odd", namespace.name()));
    let values = file(
        "values",
        &format!("azureTenantID: {TENANT}\nreplicaCount: 2\n"),
    );
    let _ = documented(PAGE, "helm upgrade <release>")
        .with("<release>", RELEASE)
        .with("<your values>", &values)
        .with("<your registry>", "registry.example.com")
        .run()
        .await;
    ready().await;
    assert!(is_ours().await);
    assert_eq!(certificates(&bundle().await), certificates(&issued.ca));

    let rollback = documented(PAGE, "helm rollback <release>").with("<release>", RELEASE);
    let _ = rollback.run().await;
    ready().await;
    assert!(!is_ours().await);

    load.stop().await.assert_all_injected();
    assert_eq!(secret, self::secret().await, "the peer finds what it had");
}

#[tokio::test]
async fn its_manifest_is_replaced_and_applied_again() {
    let _node = empty().await;
    let issued = peer::install(Form::Manifest).await;
    let secret = secret().await;
    let (namespace, _) = Namespace::with_identity("plain").await;

    let replace = documented(PAGE, "deploy/manifest.yaml | kubectl apply");
    let _ = replace.with("<tenant id>", TENANT).run().await;
    ready().await;
    assert!(is_ours().await);
    assert_admits(&namespace).await;
    assert_eq!(certificates(&bundle().await), certificates(&issued.ca));

    let manifest = file("manifest.yaml", &peer::manifest(2));
    let back = documented(PAGE, "<former manifest>").with("<former manifest>", &manifest);
    let _ = back.run().await;
    ready().await;
    assert!(!is_ours().await);
    assert_admits(&namespace).await;
    assert_eq!(secret, self::secret().await, "the peer finds what it had");
}

#[tokio::test]
async fn its_manifest_becomes_a_release() {
    let _node = empty().await;
    let issued = peer::install(Form::Manifest).await;
    let values = file("values.yaml", &format!("azureTenantID: {TENANT}\n"));
    let install = documented(PAGE, "--take-ownership").with("<your values>", &values);
    let _ = install.run().await;
    ready().await;
    assert!(is_ours().await);
    let (namespace, _) = Namespace::with_identity("taken").await;
    assert_admits(&namespace).await;
    assert_eq!(certificates(&bundle().await), certificates(&issued.ca));
}

/// Whether the replicas are of this project's chart: the peer's have no such flag.
async fn is_ours() -> bool {
    let replicas = replicas().await;
    let containers = replicas
        .iter()
        .filter_map(|replica| replica.spec.as_ref()?.containers.first());
    let flags: Vec<_> = containers
        .filter_map(|container| container.args.as_ref())
        .collect();
    assert_eq!(flags.len(), 2, "{flags:?}");
    flags.iter().all(|flags| {
        flags
            .iter()
            .any(|flag| flag.starts_with("--native-sidecar"))
    })
}

async fn assert_admits(namespace: &Namespace) {
    let pod = Pod::new("pod")
        .with_proxy()
        .container(Container::shell("app", "true"));
    // The other Deployment's replicas may have been the only ones a moment ago.
    let annotations =
        async || namespace.dry_run(&pod.manifest()).await["metadata"]["annotations"].take();
    let is_marked = |it: &serde_json::Value| it.get(annotation::INJECTED).is_some();
    until("a pod with its identity", annotations, is_marked).await;
}

async fn secret() -> String {
    system(&["get", "secret", SECRET, "-o", "jsonpath={.data}"]).await
}
