//! `az login --identity` with each kind of id, with an Azure CLI from before its move to MSAL and one
//! from after.

use azure_emulator::{Respond, Rule, Service};
use contract::annotation;
use e2e::{Identity, Namespace, Pod, TENANT, control};
use serde_json::{Value, json};

use super::pod::{BARE, CLIENT, NAME, application, with_client};
use super::{UNKNOWN, VAULT, assert_is_for};

const SUBSCRIPTION: &str = "33333333-4444-5555-6666-777777777777";

#[tokio::test]
async fn az_2_50_tries_an_id_as_client_then_as_object() {
    let object_id = "cccccccc-0000-4000-8000-000000000250";
    let pod = Machine::start("az-2.50.0", object_id).await;
    assert_eq!(pod.login("").await, "MSI");
    let client_id = pod.identity.client_id.as_str();
    let by_client = pod.login(&format!("-u {client_id}")).await;
    assert_eq!(by_client, format!("MSIClient-{client_id}"));

    // The CLI tries it as a client id first. Only a 400 with `Bad Request` makes it try the next kind.
    let by_object = pod.login(&format!("-u {object_id}")).await;
    assert_eq!(by_object, format!("MSIObject-{object_id}"));
    let mut asked = control()
        .requests(Some(Service::Entra))
        .await
        .expect("the emulator lists its requests");
    asked.retain(|request| request.client_id.as_deref() == Some(object_id));
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].aadsts, Some(700016));

    let said = pod.refused(&format!("-u {UNKNOWN}")).await;
    assert!(
        said.contains("check your managed service identity id"),
        "{said}"
    );
    pod.uses_its_token().await;
}

#[tokio::test]
async fn az_2_91_takes_the_kind_of_id_from_its_flag() {
    let object_id = "cccccccc-0000-4000-8000-000000000291";
    let pod = Machine::start("az-2.91.0", object_id).await;
    assert_eq!(pod.login("").await, "MSI");
    let client_id = pod.identity.client_id.as_str();
    let by_client = pod.login(&format!("--client-id {client_id}")).await;
    assert_eq!(by_client, format!("MSIClient-{client_id}"));
    let by_object = pod.login(&format!("--object-id {object_id}")).await;
    assert_eq!(by_object, format!("MSIObject-{object_id}"));

    let said = pod.refused(&format!("--client-id {UNKNOWN}")).await;
    assert!(said.contains("AADSTS700016"), "{said}");
    pod.uses_its_token().await;
}

/// A pod with the CLI, and an identity that has an object id too.
struct Machine {
    namespace: Namespace,
    identity: Identity,
}

impl Machine {
    async fn start(folder: &str, object_id: &str) -> Self {
        let (namespace, identity) = Namespace::with_identity("az").await;
        let map = format!("{object_id}={}", identity.client_id);
        let pod = Pod::new(NAME)
            .with_proxy()
            .annotate(annotation::IDENTITY_MAP, &map)
            .container(application(BARE, CLIENT).env("AZURE_CORE_COLLECT_TELEMETRY", "no"));
        namespace.apply(&with_client(pod, folder).manifest()).await;
        a_subscription().await;
        Self {
            namespace,
            identity,
        }
    }

    /// Logs in, and returns the CLI's name for the identity.
    async fn login(&self, identity: &str) -> String {
        let said = self.az(&format!("login --identity {identity}")).await;
        let accounts: Value = serde_json::from_str(&said).expect("az prints JSON");
        assert_eq!(accounts[0]["id"], SUBSCRIPTION, "{accounts}");
        assert_eq!(accounts[0]["tenantId"], TENANT, "{accounts}");
        let identity = accounts[0]["user"]["assignedIdentityInfo"].as_str();
        identity.expect("az prints the identity").to_owned()
    }

    /// Logs in, which must fail, and returns the CLI's error.
    async fn refused(&self, identity: &str) -> String {
        let line = format!("! /client/client login --identity {identity} 2>&1");
        self.namespace.exec(NAME, BARE, &line).await
    }

    /// Gets a token with `az account get-access-token`, as scripts do.
    async fn uses_its_token(&self) {
        let line =
            format!("account get-access-token --resource {VAULT} --query accessToken --output tsv");
        let token = self.az(&line).await;
        assert_is_for(token.trim(), &self.identity.client_id, VAULT);
    }

    async fn az(&self, line: &str) -> String {
        let line =
            format!("/client/client {line} 2>/tmp/errors || {{ cat /tmp/errors >&2; exit 1; }}");
        self.namespace.exec(NAME, BARE, &line).await
    }
}

/// Emulates the part of Azure's management API that `az login` calls.
async fn a_subscription() {
    let subscriptions = json!({ "value": [{
        "id": format!("/subscriptions/{SUBSCRIPTION}"),
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "Test",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
    }] });
    let rule = Rule {
        path: Some("/subscriptions".into()),
        respond: Some(Respond {
            status: 200,
            headers: [("content-type".into(), "application/json".into())].into(),
            body: subscriptions.to_string(),
            padding_bytes: 0,
        }),
        ..Rule::default()
    };
    control()
        .add_rule(&rule)
        .await
        .expect("the emulator takes a rule");
}
