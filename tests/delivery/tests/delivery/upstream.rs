//! The migration from upstream (Azure/azure-workload-identity) and back, with the commands of
//! docs/migrate-azure-workload-identity.md.

use contract::annotation;
use delivery::upstream::{self, Form, RELEASE};
use delivery::{documented, empty, file, ready};
use e2e::authority::{bundle, certificates};
use e2e::{Container, Load, Namespace, Pod, SECRET, TENANT, replicas, system, until};

const PAGE: &str = "docs/migrate-azure-workload-identity.md";

#[tokio::test]
async fn upgrades_and_rolls_back_upstreams_release_without_refusing_a_pod() {
    let _node = empty().await;
    let issued = upstream::install(Form::Release).await;
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
    assert_eq!(
        certificates(&bundle().await),
        certificates(issued.authority.certificate())
    );

    let rollback = documented(PAGE, "helm rollback <release>").with("<release>", RELEASE);
    let _ = rollback.run().await;
    ready().await;
    assert!(!is_ours().await);

    load.stop().await.assert_all_injected();
    assert_eq!(
        secret,
        self::secret().await,
        "upstream's Secret is unchanged"
    );
}

#[tokio::test]
async fn replaces_upstreams_manifest_and_applies_it_again() {
    let _node = empty().await;
    let issued = upstream::install(Form::Manifest).await;
    let secret = secret().await;
    let (namespace, _) = Namespace::with_identity("plain").await;

    let _ = documented(PAGE, "deploy/manifest.yaml |")
        .with("<tenant id>", TENANT)
        .with("<your registry>", "registry.example.com")
        .run()
        .await;
    ready().await;
    assert!(is_ours().await);
    assert_admits(&namespace).await;
    assert_eq!(
        certificates(&bundle().await),
        certificates(issued.authority.certificate())
    );

    let manifest = file("manifest.yaml", &upstream::manifest(2));
    let back = documented(PAGE, "<previous manifest>").with("<previous manifest>", &manifest);
    let _ = back.run().await;
    ready().await;
    assert!(!is_ours().await);
    assert_admits(&namespace).await;
    assert_eq!(
        secret,
        self::secret().await,
        "upstream's Secret is unchanged"
    );
}

#[tokio::test]
async fn turns_upstreams_manifest_into_a_release() {
    let _node = empty().await;
    let issued = upstream::install(Form::Manifest).await;
    let values = file("values.yaml", &format!("azureTenantID: {TENANT}\n"));
    let _ = documented(PAGE, "--take-ownership")
        .with("<your values>", &values)
        .with("<your registry>", "registry.example.com")
        .run()
        .await;
    ready().await;
    assert!(is_ours().await);
    let (namespace, _) = Namespace::with_identity("taken").await;
    assert_admits(&namespace).await;
    assert_eq!(
        certificates(&bundle().await),
        certificates(issued.authority.certificate())
    );
}

/// Whether this project's chart made the replicas: upstream's have no such flag.
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
    // A moment ago the API server may have called the other Deployment's replicas.
    let annotations =
        async || namespace.dry_run(&pod.manifest()).await["metadata"]["annotations"].take();
    let is_marked = |it: &serde_json::Value| it.get(annotation::INJECTED).is_some();
    until("a pod with its identity", annotations, is_marked).await;
}

async fn secret() -> String {
    system(&["get", "secret", SECRET, "-o", "jsonpath={.data}"]).await
}
