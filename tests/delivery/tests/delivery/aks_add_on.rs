//! The change from the AKS add-on, with the commands of docs/migrate-aks-add-on.md. The add-on's objects
//! in `kube-system` are stand-ins, and `az` is a shell function that removes them, except for its roles.

use delivery::{documented, empty, shell, upstream};
use e2e::{Container, Namespace, Pod, SYSTEM_NAMESPACE, TENANT, kubectl_with_input, until};
use serde_json::Value;

const PAGE: &str = "docs/migrate-aks-add-on.md";
const AZ: &str = r#"group=group cluster=cluster
az() {
    case "$*" in
        *workloadIdentity.enabled*) echo true ;;
        *--disable-workload-identity*)
            kubectl delete mutatingwebhookconfiguration azure-wi-webhook-mutating-webhook-configuration
            kubectl delete --namespace kube-system --selector azure-workload-identity.io/system=true \
                deployment,service,secret,configmap,serviceaccount,role,rolebinding,poddisruptionbudget ;;
        *) return 1 ;;
    esac
}"#;

#[tokio::test]
async fn replaces_the_aks_add_on_while_no_labelled_pod_is_created() {
    let _node = empty().await;
    add_on().await;
    let (namespace, identity) = Namespace::with_identity("add-on").await;

    let is_on = documented(PAGE, "securityProfile.workloadIdentity.enabled");
    let is_on = is_on.after(AZ).run().await;
    assert!(is_on.starts_with("true\n"), "{is_on}");
    let refused = shell(&format!(
        "! helm install azure-workload-identity deploy/chart --namespace {SYSTEM_NAMESPACE} \
         --set azureTenantID={TENANT}"
    ))
    .await;
    let reason = "exists and cannot be imported into the current release";
    assert!(refused.contains(reason), "{refused}");
    let owner = documented("docs/troubleshooting.md", "clientConfig.service.namespace");
    let owner = owner.run().await;
    assert!(owner.starts_with("kube-system "), "{owner}");

    let _ = documented(PAGE, "<<'FREEZE'").run().await;
    let _ = documented(PAGE, "--disable-workload-identity")
        .after(AZ)
        .run()
        .await;
    let is_frozen = |printed: &String| printed.contains("freeze.workload-identity.example.com");
    until("the freeze", async || probe(&namespace).await, is_frozen).await;
    let left = documented(PAGE, "grep azure-wi-webhook || true")
        .run()
        .await;
    assert!(left.contains("azure-wi-webhook-manager-role"), "{left}");
    let _ = documented(PAGE, "clusterrole/azure-wi-webhook-manager-role")
        .run()
        .await;

    let install = documented(PAGE, "helm install azure-workload-identity");
    let _ = install
        .with("<tenant id>", TENANT)
        .with("<your registry>", "registry.example.com")
        .run()
        .await;
    assert!(is_frozen(&probe(&namespace).await));
    let _ = documented(
        PAGE,
        "validatingwebhookconfiguration workload-identity-freeze",
    )
    .run()
    .await;
    until(
        "the end of the freeze",
        async || probe(&namespace).await,
        |printed| printed.contains("created"),
    )
    .await;
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    let pod = namespace.dry_run(&pod.manifest()).await;
    assert!(pod.to_string().contains(&identity.client_id), "{pod}");
}

/// Makes the objects that the add-on has, in its namespace and without a replica.
async fn add_on() {
    let text = upstream::manifest(0).replace(SYSTEM_NAMESPACE, "kube-system");
    let mut list: Value = serde_json::from_str(&text).expect("the manifest is JSON");
    let items = list["items"].as_array_mut().expect("a list");
    items.retain(|item| item["kind"] != "Namespace");
    kubectl_with_input(&["apply", "-f", "-"], &list.to_string()).await;
}

/// What kubectl prints for a labelled pod.
async fn probe(namespace: &Namespace) -> String {
    let namespace = namespace.name();
    shell(&format!(
        "kubectl run probe --namespace {namespace} --image=registry.example.com/curl:v1 \
         --labels=azure.workload.identity/use=true --dry-run=server || true"
    ))
    .await
}
