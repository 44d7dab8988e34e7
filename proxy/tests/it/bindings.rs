//! AKS identity bindings: the exchange goes through a token proxy in the cluster.

use azure_emulator::{Azure, BINDING_AUDIENCE, Options, Service};
use testkit::poll;

use crate::azure::{assertion, claims, register};
use crate::entra::{Entra, untrusted_authority};
use crate::sidecar::{AUDIENCE, CLIENT, SUBJECT, Sidecar, TENANT, TokenFile, config};

const AUTHORITY: &str = "--authority-host=https://login.microsoftonline.com/";
const NAME: &str = "--kubernetes-sni-name=binding.aks.example";

async fn token_proxy() -> (Entra, String) {
    let proxy = Entra::start("binding.aks.example").await;
    let flag = format!("--kubernetes-token-proxy=https://{}/base/", proxy.address);
    (proxy, flag)
}

#[tokio::test]
async fn sends_the_exchange_to_the_token_proxy_under_its_name_with_entras_path() {
    let (proxy, address) = token_proxy().await;
    let ca = format!("--kubernetes-ca-data={}", proxy.ca);
    // Neither the built-in authorities nor those of --ca-data are trusted here.
    let other = format!("--ca-data={}", untrusted_authority());
    let sidecar = Sidecar::start(&proxy, &[AUTHORITY, &address, NAME, &ca, &other]).await;
    assert_eq!(sidecar.token("resource=a").await.status, 200);
    let request = proxy.requests().remove(0);
    assert_eq!(request.path, format!("/base/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(request.headers["host"], "login.microsoftonline.com");
    assert_eq!(request.form["scope"], "a/.default");
}

#[tokio::test]
async fn trusts_only_the_token_proxys_own_authority() {
    let (proxy, address) = token_proxy().await;
    let wrong = format!("--kubernetes-ca-data={}", untrusted_authority());
    let sidecar = Sidecar::start(&proxy, &[AUTHORITY, &address, NAME, &wrong]).await;
    assert_eq!(sidecar.token("resource=a").await.status, 503);
    assert_eq!(proxy.requests().len(), 0);
}

#[tokio::test]
async fn reads_the_authoritys_file_again_when_it_changes() {
    let (proxy, address) = token_proxy().await;
    let ca_file = TokenFile::new();
    std::fs::write(&ca_file.0, untrusted_authority()).unwrap();
    let flag = format!("--kubernetes-ca-file={}", ca_file.0.display());
    let token_file = TokenFile::new();
    let config = config(&proxy, &token_file, &[AUTHORITY, &address, NAME, &flag]);
    let sidecar = Sidecar::start_with(config, token_file).await;
    assert_eq!(
        sidecar.token("resource=a").await.status,
        503,
        "the file holds another authority"
    );
    std::fs::write(&ca_file.0, &proxy.ca).unwrap();
    let ask = async || sidecar.token("resource=a").await;
    // A failure is remembered for a second.
    let answer = poll::until("an answer", ask, |answer| answer.status != 503).await;
    assert_eq!(answer.status, 200);
    std::fs::write(&ca_file.0, "").unwrap();
    assert_eq!(
        sidecar.token("resource=b").await.status,
        200,
        "an empty file is being replaced"
    );
    std::fs::remove_file(&ca_file.0).unwrap();
    let answer = sidecar.token("resource=c").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .text("error_description")
            .contains("AZURE_KUBERNETES_CA_FILE"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn gets_the_bound_identitys_token_from_the_emulated_token_proxy_of_aks() {
    let azure = Azure::start(Options {
        token_proxy_address: Some(([127, 0, 0, 1], 0).into()),
        names: vec!["binding.aks.example".to_owned()],
        ..Options::default()
    });
    let azure = azure.await.unwrap();
    register(&azure, BINDING_AUDIENCE).await;
    let address = format!(
        "--kubernetes-token-proxy={}",
        azure.token_proxy_url().unwrap()
    );
    let ca_file = TokenFile::new();
    std::fs::write(&ca_file.0, &azure.ca_pem).unwrap();
    for ca in [
        format!("--kubernetes-ca-data={}", azure.ca_pem),
        format!("--kubernetes-ca-file={}", ca_file.0.display()),
    ] {
        let unused = Entra::start("localhost").await;
        let token_file = TokenFile::new();
        std::fs::write(&token_file.0, assertion(SUBJECT, BINDING_AUDIENCE)).unwrap();
        let config = config(&unused, &token_file, &[AUTHORITY, &address, NAME, &ca]);
        let sidecar = Sidecar::start_with(config, token_file).await;
        let answer = sidecar.token("resource=https://vault.azure.net").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let claims = claims(&answer.text("access_token"));
        assert_eq!(claims["appid"], CLIENT);
        assert_eq!(claims["aud"], "https://vault.azure.net");
        // The token proxy refuses a token for Entra's audience, and the answer names that audience.
        let usual = assertion(SUBJECT, AUDIENCE);
        std::fs::write(&sidecar.token_file.0, usual).unwrap();
        let refused = sidecar.token("resource=https://storage.azure.com").await;
        assert_eq!(refused.status, 400);
        let text = refused.text("error_description");
        assert!(
            text.contains("audience 'api://AzureADTokenExchange'"),
            "{text}"
        );
        assert_eq!(unused.requests().len(), 0);
    }
    let seen = azure.control.requests(Some(Service::TokenProxy)).await;
    let seen = seen.unwrap();
    assert!(
        seen.iter()
            .all(|request| request.host == "login.microsoftonline.com")
    );
    let entra = azure.control.requests(Some(Service::Entra)).await.unwrap();
    assert!(entra.is_empty(), "no request goes to Entra: {entra:?}");
}
