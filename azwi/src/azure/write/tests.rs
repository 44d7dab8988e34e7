//! No value ends its quotes, whatever it contains.

use std::collections::BTreeSet;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::azure::plan::{Unwanted, WantedIdentity};

const ID: &str = "/subscriptions/4a/resourceGroups/shop (eu)/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop";

fn identity(name: &str) -> WantedIdentity {
    WantedIdentity {
        client_id: "11111111-1111-4111-8111-111111111111".to_owned(),
        resource_id: Some(ID.replace("/shop", &format!("/{name}"))),
        name: name.to_owned(),
    }
}

fn application(name: &str) -> WantedIdentity {
    WantedIdentity {
        resource_id: None,
        ..identity(name)
    }
}

fn wanted(identity: WantedIdentity, account: &str) -> Wanted {
    let issuer = "https://issuer.example.com/";
    Wanted::new(
        identity,
        issuer,
        ("prod", account),
        "api://AzureADTokenExchange",
    )
}

fn both() -> [Wanted; 3] {
    [
        wanted(identity("shop"), "shop"),
        wanted(identity("shop"), "cart"),
        wanted(application("shop"), "shop"),
    ]
}

#[test]
fn writes_commands() {
    let [managed, _, of_application] = both();
    assert_eq!(
        az(&[managed.clone(), of_application]).to_string(),
        format!(
            "az identity federated-credential create --subscription=4a --resource-group='shop (eu)' --identity-name=shop \
             --name={name} --issuer=https://issuer.example.com/ --subject=system:serviceaccount:prod:shop \
             --audiences=api://AzureADTokenExchange\n\
             az ad app federated-credential create --id=11111111-1111-4111-8111-111111111111 --parameters='{{\"audiences\":\
             [\"api://AzureADTokenExchange\"],\"issuer\":\"https://issuer.example.com/\",\"name\":\"{name}\",\
             \"subject\":\"system:serviceaccount:prod:shop\"}}'\n",
            name = managed.name
        )
    );
    let unwanted = |identity| {
        let name = "old".to_owned();
        removal(&Unwanted { identity, name }).to_string()
    };
    assert_eq!(
        unwanted(identity("shop")),
        "az identity federated-credential delete --subscription=4a --resource-group='shop (eu)' --identity-name=shop --name=old --yes"
    );
    assert_eq!(
        unwanted(application("shop")),
        "az ad app federated-credential delete --id=11111111-1111-4111-8111-111111111111 --federated-credential-id=old"
    );
}

/// Each resource waits for the one before it, whatever kind it is.
#[test]
fn terraform_writes_one_after_the_other() {
    let text = terraform(&both());
    let names: Vec<String> = text
        .lines()
        .filter_map(|it| it.strip_prefix("resource "))
        .map(|it| {
            it.trim_end_matches(" {")
                .replace("\" \"", ".")
                .replace('"', "")
        })
        .collect();
    let before: Vec<&str> = text
        .lines()
        .filter_map(|it| it.strip_prefix("  depends_on = [")?.strip_suffix(']'))
        .collect();
    assert_eq!(before, names[..2], "{text}");
    assert!(text.contains("data \"azuread_application\""), "{text}");
}

#[test]
fn bicep_deploys_each_group_once_and_leaves_applications_to_az() {
    let text = bicep(&both());
    assert_eq!(text.matches("// az deployment group create").count(), 0);
    assert_eq!(
        text.matches("az deployment group create").count(),
        1,
        "{text}"
    );
    assert_eq!(text.matches("az ad app federated-credential").count(), 1);
    assert!(text.contains("@batchSize(1)\nresource "), "{text}");
    assert!(!bicep(&both()[2..]).contains("\nresource "));
}

#[test]
fn aso_has_an_object_for_each_managed_identity() {
    let text = aso(&both());
    assert_eq!(text.matches("kind: FederatedIdentityCredential").count(), 2);
    assert_eq!(text.matches("az ad app federated-credential").count(), 1);
}

/// Two identities of one name, in two groups or as an application.
#[test]
fn names_in_files_are_unique() {
    let mut other = wanted(identity("shop"), "shop");
    other.identity.resource_id = Some(ID.replace("(eu)", "(us)"));
    let [managed, _, application] = both();
    let all = [managed, application, other];
    let labels: BTreeSet<String> = labels(&all, 200).into_iter().collect();
    assert_eq!(labels.len(), 3, "{labels:?}");
}

/// What `sh` passes on when it reads the lines.
fn arguments_of_a_shell(script: &str) -> Vec<Vec<String>> {
    let script = format!("az() {{ printf '%s\\0' \"$@\"; printf '\\n\\0'; }}\n{script}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let calls = text.split_terminator("\n\0");
    calls
        .map(|it| it.split_terminator('\0').map(str::to_owned).collect())
        .collect()
}

/// Reads the string at the start of `text`, as HCL and Bicep do, and returns it with what follows. `None` where
/// it does not end, or has an expression.
fn string(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix(quote)?;
    loop {
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        match character {
            it if it == quote => return Some((value, rest)),
            '\\' if quote == '\'' && rest.starts_with("u{") => {
                let (hex, after) = rest[2..].split_once('}')?;
                value.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                rest = after;
            }
            '\\' if quote == '"' && rest.starts_with('u') => {
                let (hex, after) = rest[1..].split_at(4);
                value.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
                rest = after;
            }
            '\\' => {
                let escaped = rest.chars().next()?;
                "\\'\"$".contains(escaped).then_some(())?;
                value.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
            '$' | '%' if quote == '"' && rest.starts_with(&format!("{character}{{")) => {
                value.push(character);
                value.push('{');
                rest = &rest[2..];
            }
            '$' if rest.starts_with('{') => return None,
            '%' if quote == '"' && rest.starts_with('{') => return None,
            it if it.is_control() => return None,
            it => value.push(it),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_value_ends_its_quotes(
        values in prop::array::uniform4("([$%{}'\"\\\\@=` \n\u{1b}\u{85}\u{2028}\u{202e}#;/a-]|\\PC|.){0,12}"),
    ) {
        let [issuer, subject, audience, client_id] = values;
        for identity in [identity("shop"), WantedIdentity { client_id, ..application("shop") }] {
            let one = Wanted {
                identity,
                name: "name".to_owned(),
                issuer: issuer.clone(),
                subject: subject.clone(),
                audience: audience.clone(),
            };
            let call = creation(&one);
            let printed: Vec<String> = call.arguments.iter().map(|it| printable(it)).collect();
            let all = [one.clone(), one.clone()];
            prop_assert_eq!(arguments_of_a_shell(&az(&all)), vec![printed.clone(), printed]);

            let written = terraform(&all);
            for (key, value) in [("issuer", &issuer), ("subject", &subject)] {
                let mut lines = written.lines().filter_map(|it| it.trim_start().strip_prefix(key));
                let line = lines.next().unwrap().trim_start_matches([' ', '=']);
                prop_assert_eq!(string(line, '"'), Some((value.clone(), "")));
            }
            if one.identity.resource_id.is_none() {
                prop_assert!(!bicep(&all).contains("\nresource"));
                let is_comment = |it: &str| it.is_empty() || it.starts_with(['#', '/']);
                prop_assert!(bicep(&all).lines().chain(aso(&all).lines()).all(is_comment));
                continue;
            }
            for (written, quote) in [(bicep(&all), '\''), (aso(&all), '"')] {
                for (key, value) in [("    issuer: ", &issuer), ("    subject: ", &subject)] {
                    let mut lines = written.lines().filter_map(|it| it.strip_prefix(key).or_else(|| it.strip_prefix(&key[2..])));
                    let line = lines.next().unwrap();
                    if quote == '"' {
                        prop_assert_eq!(serde_json::from_str::<String>(line).unwrap(), value.clone());
                        prop_assert!(!line.contains(contract::terminal::is_control));
                    } else {
                        prop_assert_eq!(string(line, quote), Some((value.clone(), "")));
                    }
                }
            }
        }
    }
}
