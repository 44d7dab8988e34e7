//! AKS identity bindings: an application that uses IMDS gets its token through AKS's token proxy.

use azure_emulator::{BINDING_AUDIENCE, FederatedCredential, Record, Service};
use e2e::{ASK_IMDS, Container, ISSUER, Namespace, Pod, claims, control};

#[tokio::test]
async fn an_imds_application_gets_its_token_through_the_token_proxy() {
    let (namespace, identity) = Namespace::with_identity("binding").await;
    let credential = FederatedCredential {
        name: "binding".into(),
        audiences: vec![BINDING_AUDIENCE.into()],
        ..FederatedCredential::service_account(ISSUER, namespace.name(), "app")
    };
    control()
        .add_credential(&identity.client_id, &credential)
        .await
        .expect("the emulator takes a credential");
    let pod = Pod::new("binding")
        .with_proxy()
        .annotate("azure.workload.identity/use-identity-binding", "true")
        .container(Container::shell("app", ASK_IMDS));
    namespace.run_to_success(&pod).await;
    let answer = namespace.log(pod.name(), "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    assert_eq!(claims(&answer)["aud"], "https://vault.azure.net");

    let exchanges = asked(Service::TokenProxy, &identity.client_id).await;
    assert_eq!(exchanges.len(), 1, "{exchanges:?}");
    let exchange = &exchanges[0];
    assert_eq!(exchange.status, Some(200));
    let assertion = exchange.claims.as_ref().expect("it holds an assertion");
    assert_eq!(
        assertion["aud"][0], BINDING_AUDIENCE,
        "Entra would refuse this audience"
    );
    let to_entra = asked(Service::Entra, &identity.client_id).await;
    assert!(to_entra.is_empty(), "{to_entra:?}");
}

#[tokio::test]
async fn a_pod_without_the_annotation_uses_entra() {
    let (namespace, identity) = Namespace::with_identity("unbound").await;
    let pod = Pod::new("unbound")
        .with_proxy()
        .container(Container::shell("app", ASK_IMDS));
    namespace.run_to_success(&pod).await;
    assert_eq!(asked(Service::Entra, &identity.client_id).await.len(), 1);
    let proxied = asked(Service::TokenProxy, &identity.client_id).await;
    assert!(proxied.is_empty(), "{proxied:?}");
}

/// The requests to a service for this client.
async fn asked(service: Service, client_id: &str) -> Vec<Record> {
    let mut requests = control()
        .requests(Some(service))
        .await
        .expect("the emulator lists its requests");
    requests.retain(|request| request.client_id.as_deref() == Some(client_id));
    requests
}
