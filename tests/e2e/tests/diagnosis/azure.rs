//! Causes in Azure: federated credentials as `az` writes them, and a real exchange.

use azure_emulator::{Application, FederatedCredential, Issuer, Kind, Rule, Service, Socket};
use e2e::program::run;
use e2e::{ISSUER, Identity, Namespace, TENANT, control};

use crate::azwi::{Fault, check, explained, is_named_and_fixed};
use crate::workload::workload;
use crate::{alone, beside_others};

/// A workload whose identity has this credential.
async fn with_credential(test: &str, change: impl Fn(&mut FederatedCredential)) -> Trusted {
    let (namespace, identity) = Namespace::with_identity(test).await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    let mut credential = FederatedCredential::service_account(ISSUER, namespace.name(), "app");
    credential.name = "kubernetes".to_owned();
    change(&mut credential);
    let identity = Identity::register_with(&identity.client_id, credential).await;
    Trusted {
        namespace,
        identity,
    }
}

struct Trusted {
    namespace: Namespace,
    identity: Identity,
}

impl Trusted {
    /// The check of the namespace, with what `az` lists piped in.
    fn piped(&self) -> String {
        let Self {
            namespace,
            identity,
        } = self;
        format!(
            "-n {} --credentials <(az identity list -o json) --credentials <(az identity federated-credential list \
             --identity-name {} --resource-group group -o json)",
            namespace.name(),
            identity.client_id
        )
    }

    fn exchange(&self) -> String {
        format!("deployment/shop -n {} --exchange", self.namespace.name())
    }

    fn account(&self) -> String {
        format!("ServiceAccount {}/app", self.namespace.name())
    }
}

/// Slips in the credential, each fixed as printed.
#[tokio::test]
async fn a_credential_with_a_slip_is_named() {
    let _beside = beside_others().await;
    let slips: [fn(&mut FederatedCredential); 4] = [
        |it| it.subject = it.subject.replace("slip", "Slip"),
        |it| it.issuer = it.issuer.trim_end_matches('/').to_owned(),
        |it| {
            it.issuer = it
                .issuer
                .replace("oidc.cluster.example", "oidc.cluster.test")
        },
        |it| it.audiences = vec!["api://AzureADTokenExchang".to_owned()],
    ];
    for slip in slips {
        let trusted = with_credential("slip", slip).await;
        is_named_and_fixed(&trusted.piped(), "AZWI-F004", &trusted.account()).await;
        let checked = check(&trusted.exchange()).await;
        assert_eq!(checked.code, Some(0), "Entra agrees: {checked:?}");
    }
}

/// The credential is for an account of another namespace.
#[tokio::test]
async fn a_missing_credential_is_named() {
    let _beside = beside_others().await;
    let trusted = with_credential("missing", |it| {
        it.subject = "system:serviceaccount:kube-system:default".to_owned();
    })
    .await;
    is_named_and_fixed(&trusted.piped(), "AZWI-F003", &trusted.account()).await;
}

/// An application, whose credentials do not name it.
#[tokio::test]
async fn a_missing_credential_of_an_application_is_named() {
    let _beside = beside_others().await;
    let (namespace, identity) = Namespace::with_identity("application").await;
    namespace
        .apply(&workload("Deployment", "shop", "app", 0))
        .await;
    let id = &identity.client_id;
    let application = Application {
        tenant: TENANT.into(),
        client_id: id.clone(),
        kind: Kind::Application,
        ..Application::default()
    };
    control()
        .add_application(&application)
        .await
        .expect("an application");
    let fault = Fault {
        check: &format!(
            "-n {} --credentials {id}=<(az ad app federated-credential list --id {id} -o json)",
            namespace.name()
        ),
        code: "AZWI-F003",
        object: &format!("ServiceAccount {}/app", namespace.name()),
        placeholders: &[],
    };
    fault.is_named_and_fixed().await;
}

/// A credential whose account is gone takes one of 20 places.
#[tokio::test]
async fn a_dangling_credential_is_named() {
    let _beside = beside_others().await;
    let trusted = with_credential("dangling", |_| {}).await;
    let gone = FederatedCredential {
        name: "gone".to_owned(),
        ..FederatedCredential::service_account(ISSUER, trusted.namespace.name(), "gone")
    };
    let id = &trusted.identity.client_id;
    control()
        .add_credential(id, &gone)
        .await
        .expect("a credential");
    is_named_and_fixed(&trusted.piped(), "AZWI-F005", "FederatedCredential gone").await;
}

#[tokio::test]
async fn a_token_that_entra_does_not_accept_is_named() {
    let _beside = beside_others().await;
    let trusted = with_credential("exchange", |it| {
        it.subject = "system:serviceaccount:kube-system:default".to_owned();
    })
    .await;
    let fault = Fault {
        check: &trusted.exchange(),
        code: "AZWI-F008",
        object: &trusted.account(),
        placeholders: &[
            ("<group>", "group"),
            ("<identity>", &trusted.identity.client_id),
        ],
    };
    fault.is_named_and_fixed().await;
}

#[tokio::test]
async fn a_credential_that_propagates_is_named() {
    let _beside = beside_others().await;
    let trusted = with_credential("propagating", |_| {}).await;
    let rule = Rule {
        service: Some(Service::Entra),
        client_id: Some(trusted.identity.client_id.clone()),
        aadsts: Some(700_213),
        times: Some(2),
        ..Rule::default()
    };
    control().add_rule(&rule).await.expect("a rule");
    let object = format!("Deployment {}/shop", trusted.namespace.name());
    is_named_and_fixed(&trusted.exchange(), "AZWI-F007", &object).await;
}

/// The principal id in place of the client id.
#[tokio::test]
async fn a_principal_id_in_place_of_the_client_id_is_named() {
    let _beside = beside_others().await;
    let principal = "99999999-1111-4000-8000-0123456789ab";
    let trusted = with_credential("principal", |_| {}).await;
    let id = trusted.identity.client_id.as_str();
    let credential = FederatedCredential::service_account(ISSUER, trusted.namespace.name(), "app");
    let application = Application {
        tenant: TENANT.into(),
        client_id: id.to_owned(),
        object_id: principal.to_owned(),
        federated_credentials: vec![credential],
        ..Application::default()
    };
    control()
        .add_application(&application)
        .await
        .expect("an identity");
    trusted.namespace.service_account("app", principal).await;
    let by_exchange = Fault {
        check: &trusted.exchange(),
        code: "AZWI-S008",
        object: &trusted.account(),
        placeholders: &[],
    };
    by_exchange.is_named().await;
    is_named_and_fixed(&trusted.piped(), "AZWI-S007", &trusted.account()).await;
    let checked = check(&trusted.exchange()).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// A tenant that does not exist.
#[tokio::test]
async fn a_wrong_tenant_is_named() {
    let _beside = beside_others().await;
    let trusted = with_credential("tenant", |_| {}).await;
    let account = format!("-n {} serviceaccount/app", trusted.namespace.name());
    let key = contract::annotation::TENANT_ID;
    run(&format!(
        "kubectl annotate {account} {key}=99999999-2222-4000-8000-0123456789ab"
    ))
    .await;
    let fault = Fault {
        check: &trusted.exchange(),
        code: "AZWI-S009",
        object: &trusted.account(),
        placeholders: &[("<tenant id>", TENANT)],
    };
    fault.is_named_and_fixed().await;
}

/// Everything but the role assignment works, and the output says which object needs one.
#[tokio::test]
async fn a_working_exchange_names_the_object_of_role_assignments() {
    let _beside = beside_others().await;
    let trusted = with_credential("roles", |_| {}).await;
    let text = explained(&trusted.exchange()).await;
    let id = &trusted.identity.client_id;
    for part in [
        format!("oid {id}, appid {id}, tid {TENANT}, aud https://management.azure.com"),
        format!("az role assignment list --all --assignee {id}"),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    assert!(!text.contains("eyJ"), "{text}");
}

/// Entra cannot read the issuer's documents, or they lack the key.
#[tokio::test]
async fn an_issuer_that_entra_cannot_read_is_named() {
    let _alone = alone().await;
    let trusted = with_credential("issuer", |_| {}).await;
    let args = trusted.exchange();
    let registered = issuer("https://192.0.2.10:6443/openid/v1/jwks");
    for (changed, code) in [
        (issuer("https://192.0.2.10:1/openid/v1/jwks"), "AZWI-T005"),
        (
            Issuer {
                jwks_url: None,
                jwks: Some(serde_json::from_str(r#"{"keys":[]}"#).expect("a key set")),
                ..issuer("")
            },
            "AZWI-T006",
        ),
    ] {
        control().add_issuer(&changed).await.expect("an issuer");
        let fault = Fault {
            check: &args,
            code,
            object: &format!("Issuer {ISSUER}"),
            placeholders: &[],
        };
        fault.is_named().await;
        control().add_issuer(&registered).await.expect("an issuer");
        let checked = check(&args).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
}

fn issuer(keys: &str) -> Issuer {
    Issuer {
        issuer: ISSUER.into(),
        jwks_url: Some(keys.to_owned()),
        ca_file: std::env::var("CLUSTER_API_CA").ok(),
        ..Issuer::default()
    }
}

#[tokio::test]
async fn an_entra_that_cannot_be_reached_is_named() {
    let _alone = alone().await;
    let trusted = with_credential("reach", |_| {}).await;
    control()
        .set_listening(Socket::Azure, false)
        .await
        .expect("a socket");
    let args = trusted.exchange();
    let fault = Fault {
        check: &args,
        code: "AZWI-T008",
        object: "Authority https://login.microsoftonline.com/",
        placeholders: &[],
    };
    let fix = fault.is_named().await;
    control()
        .set_listening(Socket::Azure, true)
        .await
        .expect("a socket");
    assert!(fix.starts_with("curl "), "{fix}");
    let checked = check(&args).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
