//! Reads the JSON of `az identity list`, `az ad app list`, `az identity federated-credential list` and
//! `az ad app federated-credential list`, one or several documents after each other.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};
use thiserror::Error;

use super::{FederatedCredential, Identity, Inventory, Owner};

/// The text is not what `az … -o json` writes.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is no JSON.
    #[error("not JSON: {0}. Write it with: az identity federated-credential list … -o json")]
    Json(#[from] serde_json::Error),
    /// An entry is neither an identity nor a federated credential.
    #[error(
        "entry {0} is neither an identity (clientId or appId) nor a federated credential (issuer and subject). Write it with: \
         az identity federated-credential list … -o json"
    )]
    Entry(usize),
}

/// Reads documents. `client_id` is the identity of federated credentials that do not name one themselves.
///
/// # Errors
///
/// When the text is not what `az` writes.
pub fn read(text: &str, client_id: Option<&str>) -> Result<Inventory, ReadError> {
    let mut inventory = Inventory::default();
    let mut entries = 0;
    for document in Deserializer::from_str(text).into_iter::<Value>() {
        let document = match document? {
            Value::Array(entries) => entries,
            single => vec![single],
        };
        for entry in document {
            entries += 1;
            add(&mut inventory, entry, client_id).ok_or(ReadError::Entry(entries))?;
        }
    }
    Ok(inventory)
}

fn add(inventory: &mut Inventory, entry: Value, client_id: Option<&str>) -> Option<()> {
    let entry: Entry = serde_json::from_value(entry).ok()?;
    // A flexible one has an expression in place of the subject.
    let subject = entry
        .subject
        .or_else(|| entry.claims_matching_expression.map(|_| String::new()));
    if let (Some(issuer), Some(subject)) = (entry.issuer, subject) {
        let of_resource = entry
            .id
            .as_deref()
            .and_then(|it| it.split_once(CREDENTIALS));
        inventory.credentials.push(FederatedCredential {
            name: entry.name.unwrap_or_default(),
            issuer,
            subject,
            audiences: entry.audiences.unwrap_or_default(),
            owner: match (of_resource, client_id) {
                (Some((resource, _)), _) => Owner::Resource(resource.to_owned()),
                (None, Some(client_id)) => Owner::Client(client_id.to_owned()),
                (None, None) => Owner::Unknown,
            },
        });
        return Some(());
    }
    let resource_id = entry.client_id.as_ref().and(entry.id);
    inventory.identities.push(Identity {
        name: entry.name.or(entry.display_name).unwrap_or_default(),
        client_id: entry.client_id.or(entry.app_id)?,
        principal_id: entry.principal_id,
        tenant_id: entry.tenant_id,
        resource_id,
    });
    Some(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: Option<String>,
    name: Option<String>,
    display_name: Option<String>,
    client_id: Option<String>,
    app_id: Option<String>,
    principal_id: Option<String>,
    tenant_id: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    claims_matching_expression: Option<IgnoredAny>,
    audiences: Option<Vec<String>>,
}

/// What follows a managed identity's resource id in that of its federated credential.
const CREDENTIALS: &str = "/federatedIdentityCredentials/";

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop";

    #[test]
    fn reads_what_az_writes() {
        let text = format!(
            r#"[{{"clientId": "c", "id": "{ID}", "name": "shop", "principalId": "p", "tenantId": "t", "tags": {{}}}}]
               [{{"audiences": ["a"], "id": "{ID}/federatedIdentityCredentials/f", "issuer": "i", "name": "f", "subject": "s"}}]
               [{{"appId": "app", "displayName": "An app", "id": "object"}}]
               [{{"audiences": ["a"], "description": null, "id": "guid", "issuer": "i", "name": "g", "subject": "s"}}]"#
        );
        let inventory = read(&text, None).unwrap();
        assert_eq!(inventory.identity("C").unwrap().name, "shop");
        assert_eq!(inventory.identity("app").unwrap().resource_id, None);
        let names: Vec<_> = inventory
            .credentials_of("c")
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(names, ["f"]);
        assert_eq!(inventory.credentials[1].owner, Owner::Unknown);
        let inventory = read(&text, Some("app")).unwrap();
        let names: Vec<_> = inventory
            .credentials_of("app")
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(names, ["g"]);
    }

    #[test]
    fn reads_a_flexible_federated_credential_which_has_no_subject() {
        let text = r#"[{"audiences": ["a"], "claimsMatchingExpression": {"languageVersion": 1, "value": "claims['sub'] matches 'x'"},
            "id": "guid", "issuer": "i", "name": "f", "subject": null}]"#;
        let inventory = read(text, Some("app")).unwrap();
        let subjects: Vec<_> = inventory
            .credentials_of("app")
            .map(|it| it.subject.as_str())
            .collect();
        assert_eq!(subjects, [""]);
    }

    #[test]
    fn says_which_entry_is_something_else() {
        for (text, message) in [
            ("{", "not JSON: "),
            ("[{}]", "entry 1 is neither"),
            (r#"[{"appId": "a"}, "x"]"#, "entry 2 is neither"),
        ] {
            let error = read(text, None).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        assert_eq!(read("", None).unwrap(), Inventory::default());
    }
}
