//! Upstream as its users install it.

use delivery::shell;
use e2e::{TENANT, replicas};
use tokio::sync::OnceCell;

/// The name of upstream's Helm release.
pub(super) const RELEASE: &str = "wi";

/// Where upstream's images are. Its releases have this in their programs, which a build by Go alone does not.
const IMAGES: &str = "mcr.microsoft.com/oss/azure/workload-identity";

/// Installs upstream's chart in this namespace, and waits until its replicas are ready.
pub(super) async fn install(namespace: &str) {
    import_images().await;
    let _ = shell(&command(namespace)).await;
}

/// The command that installs upstream's chart in this namespace, with more than its tenth of a core, at which a slow
/// machine exceeds the deadline of a review.
pub(super) fn command(namespace: &str) -> String {
    format!(
        "helm install {RELEASE} $NEIGHBOUR_UPSTREAM/workload-identity-webhook \
         --namespace {namespace} --create-namespace --set azureTenantID={TENANT} \
         --set resources.limits.cpu=1 \
         --set extraEnv[0].name=PROXY_IMAGE,extraEnv[0].value={IMAGES}/proxy:v1.6.0 \
         --set extraEnv[1].name=PROXY_INIT_IMAGE,extraEnv[1].value={IMAGES}/proxy-init:v1.6.0 \
         --wait --timeout 3m"
    )
}

/// Removes upstream's release from this namespace, if it is there.
pub(super) async fn uninstall(namespace: &str) {
    let _ = shell(&format!(
        "helm uninstall {RELEASE} --namespace {namespace} --ignore-not-found --wait"
    ))
    .await;
}

/// Whether the replicas run upstream's program.
///
/// # Panics
///
/// When there is no replica, or only some do.
pub(super) async fn is_running() -> bool {
    let replicas = replicas().await;
    let images = replicas
        .iter()
        .flat_map(|it| &it.spec.as_ref().expect("a pod has a spec").containers);
    let of_upstream: Vec<_> = images
        .map(|it| it.image.as_deref().is_some_and(|it| it.starts_with(IMAGES)))
        .collect();
    let first = *of_upstream.first().expect("a replica");
    assert!(of_upstream.iter().all(|it| *it == first), "{replicas:?}");
    first
}

async fn import_images() {
    static IMPORTED: OnceCell<()> = OnceCell::const_new();
    let import = async || {
        let _ = shell(
            "tests/lib/import-images tests/neighbours/upstream/images $NEIGHBOUR_UPSTREAM $AZURE_CA_FILE",
        )
        .await;
    };
    IMPORTED.get_or_init(import).await;
}
