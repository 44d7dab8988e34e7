//! The quick start: the Kubernetes commands of docs/first-workload.md as they are printed, from the service account on.

use azure_emulator::FederatedCredential;
use delivery::{Commands, documented, empty, install};
use e2e::{ISSUER, Identity};

const PAGE: &str = "docs/first-workload.md";
const CLIENT_ID: &str = "88888888-0000-4000-8000-000000000000";
const VAULT: &str = "wi-test-0123abcd";

/// The variables that the steps for Azure set, and an `az` that changes nothing.
const AZURE: &str =
    "group=workload-identity-test vault=wi-test-0123abcd namespace=default account=my-app
    client_id=88888888-0000-4000-8000-000000000000
    az() { :; }";

/// An image that the node has, and trust in the emulated vault's certificate.
const EMULATED: [(&str, &str); 2] = [
    (
        "image: docker.io/curlimages/curl\n",
        "image: registry.example.com/curl:v1
      env: [{name: CURL_CA_BUNDLE, value: /azure-ca.pem}]
      volumeMounts: [{name: azure-ca, mountPath: /azure-ca.pem}]\n",
    ),
    (
        "restartPolicy: Never\n",
        "restartPolicy: Never
  volumes: [{name: azure-ca, hostPath: {path: \"$AZURE_CA_FILE\"}}]\n",
    ),
];

#[tokio::test]
async fn a_first_workload_reads_its_secret() {
    let _node = empty().await;
    install("--set-file proxy.caBundle=$AZURE_CA_FILE --wait --timeout 2m").await;
    let credential = FederatedCredential::service_account(ISSUER, "default", "my-app");
    let identity = Identity::register_with(CLIENT_ID, credential).await;
    identity.vault(VAULT, "my-secret", "hello").await;

    let _ = page("kubectl annotate serviceaccount").run().await;
    let pod = EMULATED
        .into_iter()
        .fold(page("name: quick-start"), |page, (printed, emulated)| {
            page.with(printed, emulated)
        });
    let _ = pod.run().await;

    let answer = page("quick-start --container app").run().await;
    assert!(answer.contains(r#""value":"hello""#), "{answer}");
    let log = page("quick-start --container azwi-proxy").run().await;
    let mut rest = log.as_str();
    for line in [
        "starting the proxy server",
        "received readyz request",
        "received token request",
        "successfully acquired token",
        "8888####",
    ] {
        (_, rest) = rest
            .split_once(line)
            .unwrap_or_else(|| panic!("no {line:?}, or out of order, in {log}"));
    }
    let _ = page("az group delete").run().await;
}

/// The block of the page with this text, after the steps for Azure.
fn page(text: &str) -> Commands {
    documented(PAGE, text).after(AZURE)
}
