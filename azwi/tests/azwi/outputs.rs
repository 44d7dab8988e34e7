//! The files that `azwi federate` writes for other tools, whole. `tests/outputs/run` gives them to the parsers of those
//! tools. `UPDATE_GOLDEN=1` writes them again.

use std::fs;

use azwi::azure::plan::{Wanted, WantedIdentity};
use azwi::azure::write::{aso, az, bicep, terraform};

/// Two managed identities in two resource groups, and an application. The values of the last are none that Azure has:
/// each has what begins an expression or ends a string in one of the languages.
fn wanted() -> Vec<Wanted> {
    let identity = |name: &str, group: &str| WantedIdentity {
        client_id: "11111111-1111-4111-8111-111111111111".to_owned(),
        resource_id: Some(format!(
            "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/{group}/providers/\
             Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )),
        name: name.to_owned(),
    };
    let application = WantedIdentity {
        client_id: "33333333-3333-4333-8333-333333333333".to_owned(),
        resource_id: None,
        name: "An application".to_owned(),
    };
    let (issuer, audience) = (
        "https://issuer.example.com/cluster/",
        "api://AzureADTokenExchange",
    );
    let new = |identity, account| Wanted::new(identity, issuer, ("prod", account), audience);
    let mut odd = new(identity("odd", "shop"), "odd");
    odd.subject = "'\"\\ ${a} $${b} %{c} %%{d} $ \u{1b} \u{2028} \u{e9} #{e} */ // @f".to_owned();
    let mut odd_application = new(application.clone(), "odd");
    odd_application.subject.clone_from(&odd.subject);
    vec![
        new(identity("shop", "shop"), "shop"),
        new(identity("shop", "shop"), "cart"),
        new(identity("mail", "mail (eu)"), "mail.sender"),
        new(application, "batch"),
        odd,
        odd_application,
    ]
}

#[test]
fn outputs_are_those_of_the_golden_files() {
    let wanted = wanted();
    for (name, text) in [
        ("credentials.sh", az(&wanted).to_string()),
        ("credentials.tf", terraform(&wanted)),
        ("credentials.bicep", bicep(&wanted)),
        ("credentials.yaml", aso(&wanted)),
    ] {
        let file = format!("{}/tests/azwi/outputs/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            text,
            "{name}: UPDATE_GOLDEN=1 writes it again"
        );
    }
}
