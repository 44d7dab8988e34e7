//! The migration of a workload from pod-managed identity, with the commands of docs/migrate-pod-identity.md.

use delivery::{Commands, documented, empty, install};
use e2e::{Container, Namespace, PROXY_IMAGE, Pod, claims};
use serde_json::json;

const PAGE: &str = "docs/migrate-pod-identity.md";
const ACCOUNT: &str = "legacy";
const CLIENT_ID: &str = "77777777-0000-4000-8000-000000000000";

/// `az identity federated-credential create`, in the emulated Azure.
const AZ: &str = r#"
    source tests/lib/azure.sh
    az() {
        [[ "$1 $2 $3" == "identity federated-credential create" ]]
        shift 3
        local -A given
        while (($#)); do given[$1]=$2; shift 2; done
        azure applications "{\"tenant\": \"$tenant\", \"client_id\": \"$CLIENT_ID\",
            \"federated_credentials\": [{\"issuer\": \"${given[--issuer]}\",
                \"subject\": \"${given[--subject]}\", \"audiences\": [\"${given[--audiences]}\"]}]}"
    }
"#;

#[tokio::test]
async fn migrates_a_workload_from_pod_identity() {
    let _node = empty().await;
    install("--set-file proxy.caBundle=$AZURE_CA_FILE --wait --timeout 2m").await;
    let namespace = Namespace::new("moved").await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT },
    });
    namespace.apply(&account).await;
    let of_account = |commands: Commands| {
        commands
            .with("<namespace>", namespace.name())
            .with("<service account>", ACCOUNT)
    };

    // Step 2.
    let _ = of_account(documented(PAGE, "az identity federated-credential"))
        .with("<identity>", "legacy-identity")
        .with("<group>", "my-group")
        .with("<issuer>", e2e::ISSUER)
        .with("<clientID>", CLIENT_ID)
        .after(&format!("CLIENT_ID={CLIENT_ID}\n{AZ}"))
        .run()
        .await;
    // Step 3.
    let tried = of_account(documented(PAGE, "kubectl run try")).run().await;
    assert!(
        tried.contains("azwi-proxy-init") && tried.contains(CLIENT_ID),
        "{tried}"
    );
    assert!(!tried.contains("Warning"), "{tried}");
    let pod = Pod::new("workload")
        .with_proxy()
        .field("serviceAccountName", json!(ACCOUNT))
        .container(Container::shell("app", "exec sleep infinity"));
    namespace.apply(&pod.manifest()).await;
    let ask = "curl --silent --fail-with-body -H Metadata:true \
        'http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net'";
    let answer = namespace.exec("workload", "app", ask).await;
    assert_eq!(claims(&answer)["appid"], CLIENT_ID, "{answer}");
    // Step 4.
    let of_pod = |commands: Commands| {
        commands
            .with("<namespace>", namespace.name())
            .with("<pod>", "workload")
    };
    let described = of_pod(documented(PAGE, "kubectl describe pod")).run().await;
    assert_in_order(
        &described,
        &[
            "Init Containers:",
            "azwi-proxy-init:",
            "Completed",
            "azwi-proxy:",
            "Running",
            "Containers:",
            "app:",
            CLIENT_ID,
            "/var/run/secrets/azure/tokens",
        ],
    );
    let log = of_pod(documented(PAGE, "kubectl logs")).run().await;
    assert_in_order(
        &log,
        &[
            "starting the proxy server",
            "received readyz request",
            "received token request",
            "successfully acquired token",
        ],
    );

    let proxies = documented("docs/upgrade.md", "azure.workload.identity/use=true")
        .run()
        .await;
    let line = format!("{}\tworkload\t{PROXY_IMAGE}", namespace.name());
    assert!(proxies.contains(&line), "{proxies}");
}

fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let found = rest.split_once(part);
        (_, rest) =
            found.unwrap_or_else(|| panic!("{part:?} is missing or out of order in {text}"));
    }
}
