//! The migration of docs/migrate-azure-workload-identity.md from upstream's own programs, and back.

use delivery::{documented, empty, path, ready};
use e2e::authority::{bundle, certificates, stored};
use e2e::{Container, Load, Namespace, Pod, SECRET, SYSTEM_NAMESPACE, Tally, claims, system};

use super::installation::{RELEASE, install, is_running};

const PAGE: &str = "docs/migrate-azure-workload-identity.md";

#[tokio::test]
async fn replaces_upstreams_release_and_rolls_back() {
    let _node = empty().await;
    install(SYSTEM_NAMESPACE).await;
    let authority = certificates(&stored().await);
    let secret = secret().await;
    let (namespace, identity) = Namespace::with_identity("real-release").await;
    let client_id = &identity.client_id;
    assert_gets_its_token(&namespace, "upstream", client_id).await;

    let load = Load::start(&namespace, 50).await;
    let values = path("values.yaml").display().to_string();
    let _ = documented(PAGE, "helm get values <release>")
        .with("<release>", RELEASE)
        .with(">values.yaml", &format!(">{values}"))
        .run()
        .await;
    // The page says to remove upstream's images from the values.
    let _ = documented(PAGE, "helm upgrade <release>")
        .with("<release>", RELEASE)
        .with("<your values>", &values)
        .with("<your registry>", "registry.example.com")
        .and("--set extraEnv=null --set-file proxy.caBundle=$AZURE_CA_FILE")
        .run()
        .await;
    ready().await;
    assert!(!is_running().await);
    assert_eq!(certificates(&bundle().await), authority);
    assert_gets_its_token(&namespace, "ours", client_id).await;
    let mut tally = load.stop().await;
    forgive_upstreams_ends(&mut tally);
    tally.assert_all_injected();

    let load = Load::start(&namespace, 50).await;
    let rollback = documented(PAGE, "helm rollback <release>").with("<release>", RELEASE);
    let _ = rollback.run().await;
    ready().await;
    assert!(is_running().await);
    assert_gets_its_token(&namespace, "back", client_id).await;
    load.stop().await.assert_all_injected();
    assert_eq!(
        secret,
        self::secret().await,
        "upstream's Secret is unchanged"
    );
}

/// Removes the failures that upstream has in its own upgrades too: its replicas end while the API server still calls
/// them.
fn forgive_upstreams_ends(tally: &mut Tally) {
    const ENDS: [&str; 5] = [
        "broken pipe",
        "connection refused",
        "connection reset by peer",
        "context deadline exceeded",
        "EOF",
    ];
    tally
        .failures
        .retain(|it| !ENDS.iter().any(|end| it.ends_with(end)));
}

async fn assert_gets_its_token(namespace: &Namespace, name: &str, client_id: &str) {
    let pod = Pod::new(name)
        .with_proxy()
        .container(Container::asking_imds("app"));
    namespace.run_to_success(&pod).await;
    let answer = namespace.log(name, "app").await;
    assert_eq!(claims(&answer)["appid"], client_id, "{answer}");
}

async fn secret() -> String {
    system(&["get", "secret", SECRET, "-o", "jsonpath={.data}"]).await
}
