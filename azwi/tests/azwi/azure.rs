//! Federated credentials as `az` writes them, compared with what the workloads need.

use azwi::azure;
use azwi::checks::{self, Code, Finding, Severity};
use azwi::facts::Facts;
use azwi::facts::read::Scope;
use serde_json::{Value, json};

use crate::api_server::Cluster;
use crate::causes::facts;
use crate::fixture::{CLIENT_ID, ISSUER, account, healthy, resource_id, template, workload};

const SEVERAL: &str = "22222222-2222-2222-2222-222222222222";

fn identity(name: &str, client_id: &str) -> Value {
    json!({ "clientId": client_id, "id": resource_id(name), "name": name, "principalId": format!("{}", PRINCIPAL) })
}

const PRINCIPAL: &str = "77777777-7777-7777-7777-777777777777";

fn credential(owner: &str, name: &str, account: &str) -> Value {
    json!({
        "id": format!("{}/federatedIdentityCredentials/{name}", resource_id(owner)),
        "name": name,
        "issuer": ISSUER,
        "subject": format!("system:serviceaccount:{account}"),
        "audiences": ["api://AzureADTokenExchange"],
    })
}

/// What `az` writes for a healthy cluster.
fn documents() -> Vec<Value> {
    vec![
        identity("shop", CLIENT_ID),
        identity("several", SEVERAL),
        credential("shop", "shop", "prod:shop"),
        credential("several", "plain", "prod:plain"),
    ]
}

async fn read(cluster: Cluster, documents: &[Value]) -> Facts {
    let scope = Scope {
        issuer: true,
        ..Scope::default()
    };
    let mut facts = facts(cluster, &scope).await;
    let text: String = documents.iter().map(|it| format!("{it}\n")).collect();
    facts.azure = Some(azure::read(&text, None).unwrap());
    facts
}

async fn findings(documents: &[Value]) -> Vec<Finding> {
    let facts = read(healthy(), documents).await;
    assert_eq!(checks::gaps(&facts), []);
    let mut findings = checks::all(&facts);
    findings.retain(|it| it.code.severity() != Severity::Information);
    findings
}

#[tokio::test]
async fn nothing_is_found_where_every_credential_matches() {
    assert_eq!(findings(&documents()).await, []);
}

#[tokio::test]
async fn a_slip_is_named_once_with_the_command_that_fixes_it() {
    for (field, value, part) in [
        ("issuer", "https://issuer.example.com/cluster", "last slash"),
        ("issuer", "https://other.example.com/cluster/", "host"),
        ("subject", "system:serviceaccount:Prod:shop", "letter case"),
    ] {
        let mut documents = documents();
        documents[2][field] = json!(value);
        let found = findings(&documents).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].code, Code::NearMiss);
        assert_eq!(found[0].object.to_string(), "ServiceAccount prod/shop");
        assert!(found[0].cause.contains(part), "{found:?}");
        let fix = found[0].fix.as_deref().unwrap();
        assert_eq!(
            fix,
            "az identity federated-credential update --subscription s --resource-group g --identity-name shop --name shop \
             --issuer https://issuer.example.com/cluster/ --subject system:serviceaccount:prod:shop --audiences \
             api://AzureADTokenExchange"
        );
    }
}

#[tokio::test]
async fn a_missing_credential_is_named_with_the_command_that_creates_it() {
    let mut documents = documents();
    documents[2]["issuer"] = json!("https://issuer.example.com/former/");
    let found = findings(&documents).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, Code::NoCredential);
    assert!(
        found[0].cause.contains("before it was rebuilt"),
        "{found:?}"
    );
    let fix = found[0].fix.as_deref().unwrap();
    let start = "az identity federated-credential create --subscription s --resource-group g --identity-name shop --name prod-shop --issuer";
    assert!(fix.starts_with(start), "{fix}");
    // An application has no resource id.
    documents.truncate(2);
    documents[0] = json!({ "appId": CLIENT_ID, "displayName": "shop" });
    documents.push(credential("several", "plain", "prod:plain"));
    let found = findings(&documents).await;
    let fix = found[0].fix.as_deref().unwrap();
    let start = format!(
        "az ad app federated-credential create --id {CLIENT_ID} --parameters '{{\"audiences\":"
    );
    assert!(fix.starts_with(&start), "{fix}");
}

#[tokio::test]
async fn a_credential_of_an_account_that_is_gone_is_named() {
    let mut documents = documents();
    documents.push(credential("shop", "gone", "prod:gone"));
    let mut other = credential("shop", "other-cluster", "prod:gone");
    other["issuer"] = json!("https://issuer.example.com/other/");
    documents.push(other);
    let found = findings(&documents).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].code, Code::Dangling);
    let fix = "az identity federated-credential delete --yes --subscription s --resource-group g --identity-name shop --name gone";
    assert_eq!(found[0].fix.as_deref(), Some(fix));
}

#[tokio::test]
async fn a_principal_id_is_named_with_the_client_id() {
    let mut cluster = healthy();
    cluster
        .objects
        .push(account("prod", "other", Some(PRINCIPAL)));
    cluster
        .objects
        .push(workload("Deployment", "other", template("other")));
    let facts = read(cluster, &documents()).await;
    assert_eq!(checks::gaps(&facts), []);
    let found = checks::all(&facts);
    let found = found
        .iter()
        .find(|it| it.code == Code::PrincipalId)
        .unwrap();
    assert!(
        found.fix.as_ref().unwrap().ends_with(CLIENT_ID),
        "{found:?}"
    );
}

/// What is not in the documents is not checked, rather than missing.
#[tokio::test]
async fn an_identity_that_was_not_given_is_a_gap() {
    let documents = documents();
    let facts = read(healthy(), &[documents[0].clone(), documents[2].clone()]).await;
    let gaps = checks::gaps(&facts);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].resource.ends_with(SEVERAL), "{gaps:?}");
    // Without the list of identities, a credential that matches is enough.
    let facts = read(healthy(), &documents[2..]).await;
    assert_eq!(checks::gaps(&facts), []);
}

#[tokio::test]
async fn few_places_are_worth_knowing() {
    let mut documents = documents();
    documents.extend((0..18).map(|nth| {
        let mut other = credential("shop", &format!("other-{nth}"), "prod:gone");
        other["issuer"] = json!("https://issuer.example.com/other/");
        other
    }));
    // A document may be given twice.
    documents.push(documents[2].clone());
    let facts = read(healthy(), &documents).await;
    let found = checks::all(&facts);
    let few: Vec<_> = found
        .iter()
        .filter(|it| it.code == Code::FewSlots)
        .collect();
    assert_eq!(few.len(), 1, "{found:?}");
    assert!(
        few[0].cause.contains("19 federated credentials of 20: 1"),
        "{few:?}"
    );
}
