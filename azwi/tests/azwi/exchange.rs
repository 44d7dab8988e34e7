//! What Entra's answers mean.

use azwi::azure;
use azwi::checks::{self, Code, Finding};
use azwi::facts::exchange::{Exchange, Granted, Rejected};
use azwi::facts::read::Scope;
use proxy::entra::parse;
use serde_json::json;

use crate::causes::facts;
use crate::fixture::{CLIENT_ID, healthy};

const OBJECT_ID: &str = "66666666-6666-4666-8666-666666666666";
const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// Entra's refusal with this code, as the proxy reads it.
fn refused(status: u16, code: u32) -> Result<Granted, Rejected> {
    let text = format!("AADSTS{code}: A sentence.\r\nTrace ID: x");
    let body =
        json!({ "error": "invalid_client", "error_description": text, "error_codes": [code] });
    let body = body.to_string();
    let rejection = parse(status, None, body.as_bytes(), "").unwrap_err();
    Err(Rejected {
        status,
        code: rejection.code,
        class: rejection.class,
        description: rejection.description.clone(),
        explained: rejection.description.clone(),
    })
}

/// The answer of something that is not Entra, or no answer.
fn unreachable() -> Result<Granted, Rejected> {
    let Err(rejected) = refused(503, 90_033) else {
        panic!("it is refused");
    };
    Err(Rejected {
        status: 0,
        code: None,
        description: "the authority cannot be reached: dns error".to_owned(),
        ..rejected
    })
}

fn granted() -> Result<Granted, Rejected> {
    Ok(Granted {
        object_id: OBJECT_ID.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        tenant: TENANT.to_owned(),
        audience: "https://management.azure.com".to_owned(),
        roles: vec!["Reader.All".to_owned()],
    })
}

async fn findings(
    attempts: Vec<Result<Granted, Rejected>>,
    documents: Option<&str>,
) -> Vec<Finding> {
    let scope = Scope {
        namespace: Some("prod".to_owned()),
        target: Some(("deployment".to_owned(), "shop".to_owned())),
        issuer: true,
        ..Scope::default()
    };
    let mut facts = facts(healthy(), &scope).await;
    facts.azure = documents.map(|it| azure::read(it, None).unwrap());
    facts.exchange = Some(Exchange {
        client_id: CLIENT_ID.to_owned(),
        tenant: TENANT.to_owned(),
        authority: "https://login.microsoftonline.com/".to_owned(),
        attempts,
    });
    let mut findings = checks::all(&facts);
    findings.retain(|it| it.code != Code::OldSdk);
    findings
}

#[tokio::test]
async fn each_refusal_has_its_code_and_object() {
    let account = "ServiceAccount prod/shop";
    let issuer = "Issuer https://issuer.example.com/cluster/";
    let five = |code| vec![refused(401, code); 5];
    for (attempts, code, object) in [
        (five(700_213), Code::NotAccepted, account),
        (five(700_211), Code::NotAccepted, account),
        (vec![refused(401, 7_002_138)], Code::NotAccepted, account),
        (vec![refused(400, 700_016)], Code::NoApplication, account),
        (vec![refused(400, 90_002)], Code::NoTenant, account),
        (vec![refused(400, 90_061)], Code::NotPublic, issuer),
        (vec![refused(401, 700_027)], Code::OldKeys, issuer),
        (
            vec![unreachable()],
            Code::NoEntra,
            "Authority https://login.microsoftonline.com/",
        ),
        (
            vec![refused(401, 53_003)],
            Code::OtherRefusal,
            "Deployment prod/shop",
        ),
    ] {
        let found = findings(attempts, None).await;
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.code, it.object.to_string()))
            .collect();
        assert_eq!(found, [(code, object.to_owned())]);
    }
}

#[tokio::test]
async fn some_successes_among_five_mean_that_a_credential_propagates() {
    let attempts = vec![refused(401, 700_213), refused(401, 700_213), granted()];
    let found = findings(attempts, None).await;
    assert_eq!(found[0].code, Code::Propagating);
    assert!(found[0].cause.starts_with("2 of 3"), "{found:?}");
}

#[tokio::test]
async fn a_success_names_whose_role_assignments_to_look_at() {
    let found = findings(vec![granted()], None).await;
    assert_eq!(found[0].code, Code::Exchanged);
    let oid = format!("oid {OBJECT_ID}");
    for part in [
        oid.as_str(),
        "aud https://management.azure.com",
        "roles Reader.All",
    ] {
        assert!(found[0].cause.contains(part), "{found:?}");
    }
    let fix = format!("az role assignment list --all --assignee {OBJECT_ID} --output table");
    assert_eq!(found[0].fix.as_deref(), Some(fix.as_str()));
    // No object id, though Entra's answer says so.
    let other = granted().map(|it| Granted {
        object_id: "$(touch x)".to_owned(),
        ..it
    });
    let found = findings(vec![other], None).await;
    assert_eq!(found[0].fix.as_deref(), None);
    // Entra's answer is later than any list.
    let found = findings(vec![granted()], Some(r#"[{"clientId":"CLIENT","id":"x"}]"#)).await;
    assert_eq!(found.len(), 1, "{found:?}");
}

/// What the list says already is not said twice.
#[tokio::test]
async fn a_credential_that_the_list_lacks_is_named_once() {
    let documents = format!(r#"[{{"clientId":"{CLIENT_ID}","name":"shop"}}]"#);
    let found = findings(vec![refused(401, 700_213); 5], Some(&documents)).await;
    let found: Vec<_> = found.iter().map(|it| it.code).collect();
    assert_eq!(found, [Code::NoCredential]);
}
