//! Reads the inventory from the API server.

mod accounts;
mod components;
mod custom;
mod pod_identity;
mod pods;
mod workloads;

use contract::token::DEFAULT_AUDIENCE;
use kube::Client;

use super::Inventory;
use crate::facts::Facts;
use crate::facts::read::reader::Reader;
use crate::facts::read::{accounts as all_accounts, installation, issuer, namespaces, token};

/// Reads what a migration needs, of one namespace or all. A token is requested where the issuer is not known. What cannot be
/// read is in the gaps of [`Inventory::facts`].
pub async fn read(client: Client, namespace: Option<&str>, needs_issuer: bool) -> Inventory {
    let mut reader = Reader::new(client);
    let mut inventory = Inventory {
        facts: Facts {
            installation: installation::read(&mut reader).await,
            namespaces: namespaces::read(&mut reader, namespace).await,
            accounts: all_accounts::read(&mut reader, namespace).await,
            ..Facts::default()
        },
        pod_identity: pod_identity::read(&mut reader).await,
        ..Inventory::default()
    };
    let mut found = workloads::Found::default();
    workloads::read(&mut reader, namespace, &mut found).await;
    custom::read(&mut reader, namespace, &mut found).await;
    pods::read(&mut reader, namespace, &mut found).await;
    custom::read_owners(&mut reader, &mut found).await;
    components::read(&mut reader, &mut inventory.pod_identity).await;
    found.into_inventory(&mut inventory);
    accounts::read(&mut reader, namespace, &mut inventory).await;
    if needs_issuer {
        read_token(&mut reader, &mut inventory).await;
    }
    inventory.facts.gaps = reader.gaps;
    inventory
}

/// A token of any service account shows the issuer of all.
async fn read_token(reader: &mut Reader, inventory: &mut Inventory) {
    let facts = &inventory.facts;
    let exists = |key: &&(String, String)| {
        let accounts = facts.accounts.as_ref();
        accounts.is_none_or(|it| it.contains_key(*key))
    };
    let Some((namespace, name)) = inventory.accounts.keys().find(exists) else {
        return;
    };
    let settings = facts.installation.as_ref();
    let settings = settings.and_then(|it| it.settings.as_ref());
    let audience = settings.map_or(DEFAULT_AUDIENCE, |it| it.audience.as_str());
    if let Some((token, _)) = token::claims(reader, namespace, name, audience).await {
        inventory.facts.issuer = Some(issuer::of_token(reader, &token).await);
        inventory.facts.token = Some(token);
    }
}
