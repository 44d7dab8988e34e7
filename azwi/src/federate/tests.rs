//! Each way in which service accounts and federated credentials can differ.

use std::collections::BTreeMap;

use super::*;
use crate::azure::{FederatedCredential, Identity, Owner};

const ISSUER: &str = "https://issuer.example.com/cluster/";
const NEW: &str = "https://new.example.com/cluster/";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const CLIENT_ID: &str = "11111111-1111-4111-8111-111111111111";
const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop";

/// One account of one identity.
struct World {
    accounts: BTreeMap<(String, String), Account>,
    inventory: Inventory,
    new_issuer: Option<&'static str>,
    namespace: Option<&'static str>,
}

fn world(credentials: Vec<FederatedCredential>) -> World {
    let mut accounts = BTreeMap::new();
    accounts.insert(("prod".to_owned(), "shop".to_owned()), account(CLIENT_ID));
    accounts.insert(
        ("prod".to_owned(), "default".to_owned()),
        Account::default(),
    );
    let identity = Identity {
        name: "shop".to_owned(),
        client_id: CLIENT_ID.to_owned(),
        resource_id: Some(ID.to_owned()),
        ..Identity::default()
    };
    World {
        accounts,
        inventory: Inventory {
            identities: vec![identity],
            credentials,
        },
        new_issuer: None,
        namespace: None,
    }
}

impl World {
    fn plan(&self) -> Plan {
        plan(&Input {
            accounts: &self.accounts,
            namespace: self.namespace,
            inventory: &self.inventory,
            issuer: ISSUER,
            new_issuer: self.new_issuer,
            audience: AUDIENCE,
        })
    }
}

fn account(client_id: &str) -> Account {
    let annotation = contract::annotation::CLIENT_ID.to_owned();
    let annotations = BTreeMap::from([(annotation, client_id.to_owned())]);
    Account::read(&annotations, &BTreeMap::new())
}

fn credential(name: &str, issuer: &str, subject: &str) -> FederatedCredential {
    FederatedCredential {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        subject: format!("system:serviceaccount:{subject}"),
        audiences: vec![AUDIENCE.to_owned()],
        // Azure writes resource groups in either letter case.
        owner: Owner::Resource(ID.to_lowercase()),
    }
}

fn states(plan: &Plan) -> Vec<&State> {
    plan.accounts.iter().map(|it| &it.state).collect()
}

fn removed(plan: &Plan) -> Vec<(&str, Reason)> {
    let removals = plan.removals.iter();
    removals
        .map(|it| (it.unwanted.name.as_str(), it.reason))
        .collect()
}

#[test]
fn nothing_is_written_where_the_credential_exists() {
    let plan = world(vec![credential("mine", ISSUER, "prod:shop")]).plan();
    assert_eq!(states(&plan), [&State::Present("mine".to_owned())]);
    assert_eq!((plan.changes.len(), plan.removals.len()), (0, 0));
    assert!(!plan.has_open_faults());
}

#[test]
fn a_missing_credential_is_created_with_the_clusters_issuer() {
    let plan = world(vec![credential(
        "other",
        "https://other.example.org/",
        "prod:shop",
    )])
    .plan();
    assert_eq!(states(&plan), [&State::Missing]);
    let [Change { wanted, is_update }] = plan.changes.as_slice() else {
        panic!("{plan:?}");
    };
    assert!(!is_update);
    assert_eq!(
        (wanted.issuer.as_str(), wanted.audience.as_str()),
        (ISSUER, AUDIENCE)
    );
    assert_eq!(wanted.subject, "system:serviceaccount:prod:shop");
    assert_eq!(wanted.identity.resource_id.as_deref(), Some(ID));
    // That of another cluster.
    assert_eq!(removed(&plan), []);
}

/// The right one is created beside the wrong one, which is removed by hand.
#[test]
fn a_slash_or_a_letter_is_named() {
    for (issuer, subject, difference) in [
        (ISSUER.trim_end_matches('/'), "prod:shop", Difference::Slash),
        (ISSUER, "Prod:shop", Difference::Case),
        (ISSUER, "prod:shpo", Difference::Subject),
    ] {
        let plan = world(vec![credential("near", issuer, subject)]).plan();
        let name = "near".to_owned();
        assert_eq!(states(&plan), [&State::Wrong { name, difference }]);
        assert_eq!(plan.changes.len(), 1);
        assert_eq!(removed(&plan), [("near", Reason::Wrong)]);
    }
}

/// The credential of an account whose name differs by one letter is not a mistake.
#[test]
fn leaves_a_credential_of_a_similar_account() {
    let mut world = world(vec![credential("neighbour", ISSUER, "prod:shop2")]);
    world
        .accounts
        .insert(("prod".to_owned(), "shop2".to_owned()), account(CLIENT_ID));
    let plan = world.plan();
    let present = State::Present("neighbour".to_owned());
    assert_eq!(states(&plan), [&State::Missing, &present]);
    assert_eq!(removed(&plan), []);
}

/// Azure refuses a second credential with the same issuer and subject.
#[test]
fn another_audience_is_overwritten() {
    let mut it = credential("mine", ISSUER, "prod:shop");
    it.audiences = vec!["api://other".to_owned()];
    let mut world = world(vec![it]);
    let plan = world.plan();
    assert_eq!(plan.changes[0].wanted.name, "mine");
    assert!(plan.changes[0].is_update && plan.removals.is_empty());
    assert!(write::az(&plan).starts_with("az identity federated-credential create "));
    world.inventory.identities[0].resource_id = None;
    world.inventory.credentials[0].owner = Owner::Client(CLIENT_ID.to_owned());
    let text = write::az(&world.plan());
    assert!(
        text.starts_with("az ad app federated-credential update --id="),
        "{text}"
    );
    assert!(text.contains(" --federated-credential-id=mine"), "{text}");
}

#[test]
fn a_credential_whose_account_is_gone_is_dangling() {
    let mut world = world(vec![
        credential("mine", ISSUER, "prod:shop"),
        credential("gone", ISSUER, "prod:gone"),
        credential("other cluster", "https://other.example.org/", "prod:gone"),
        credential("elsewhere", ISSUER, "test:gone"),
    ]);
    let plan = world.plan();
    assert_eq!(
        removed(&plan),
        [("gone", Reason::Dangling), ("elsewhere", Reason::Dangling)]
    );
    assert!(plan.has_open_faults());
    // Accounts of other namespaces were not read.
    world.namespace = Some("prod");
    assert_eq!(removed(&world.plan()), [("gone", Reason::Dangling)]);
}

/// An `identity-map` lets a pod use more identities than its account names.
#[test]
fn a_credential_of_an_account_without_the_identity_is_left_alone() {
    let plan = world(vec![
        credential("mine", ISSUER, "prod:shop"),
        credential("map", ISSUER, "prod:default"),
    ])
    .plan();
    assert_eq!(removed(&plan), []);
}

#[test]
fn a_new_issuer_is_added_beside_the_old_one() {
    let mut world = world(vec![credential("mine", ISSUER, "prod:shop")]);
    world.new_issuer = Some(NEW);
    let plan = world.plan();
    assert_eq!(
        states(&plan),
        [&State::Present("mine".to_owned()), &State::Missing]
    );
    assert_eq!(plan.changes[0].wanted.issuer, NEW);
    assert_ne!(plan.changes[0].wanted.name, "mine");
    assert_eq!(removed(&plan), [("mine", Reason::FormerIssuer)]);
    assert!(!plan.has_open_faults());
    let text = write::az(&plan);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("az identity federated-credential create"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("# az identity federated-credential delete"),
        "{text}"
    );
}

/// As when its output was appended to a file twice.
#[test]
fn a_document_that_is_given_twice_counts_once() {
    let mut world = world(
        (0..11)
            .map(|nth| credential(&format!("{nth}"), ISSUER, &format!("prod:gone{nth}")))
            .collect(),
    );
    world.inventory.extend(world.inventory.clone());
    let plan = world.plan();
    assert_eq!(states(&plan), [&State::Missing]);
    assert_eq!(plan.removals.len(), 11);
}

#[test]
fn an_identity_has_no_more_than_twenty() {
    let mut credentials: Vec<FederatedCredential> = (0..19)
        .map(|nth| credential(&format!("{nth}"), "https://other.example.org/", "prod:shop"))
        .collect();
    assert_eq!(
        states(&world(credentials.clone()).plan()),
        [&State::Missing]
    );
    credentials.push(credential(
        "last",
        "https://other.example.org/",
        "prod:last",
    ));
    let plan = world(credentials).plan();
    assert_eq!(states(&plan), [&State::Full]);
    assert!(plan.changes.is_empty() && plan.has_open_faults());
}

#[test]
fn an_identity_that_was_not_read_is_named() {
    let mut world = world(Vec::new());
    world.inventory = Inventory::default();
    let plan = world.plan();
    assert_eq!(states(&plan), [&State::UnknownIdentity]);
    assert!(plan.has_open_faults());
}

#[test]
fn text_and_json_name_what_is_wrong() {
    let plan = world(vec![
        credential("near", ISSUER.trim_end_matches('/'), "prod:shop"),
        credential("gone\u{1b}[31m", ISSUER, "prod:gone"),
    ])
    .plan();
    let mut text = String::new();
    write::text(&mut text, &plan).unwrap();
    for part in [
        "wrong: federated credential near of identity 11111111-1111-4111-8111-111111111111: the issuer differs by the last \
         slash: ServiceAccount prod/shop\n",
        "dangling: its service account does not exist",
        "0 right, 0 missing, 1 wrong, 0 unknown, 0 without capacity; 1 to write, 2 to remove\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    let json: serde_json::Value = serde_json::from_str(&write::json(&plan).unwrap()).unwrap();
    assert_eq!(json["accounts"][0]["state"], "wrong");
    assert_eq!(json["write"][0]["identity"]["resourceId"], ID);
    assert_eq!(json["remove"][1]["reason"], "dangling");
}
