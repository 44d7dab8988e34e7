//! The objects registered in the emulated Azure, and their look-ups.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

use crate::model::{Application, FederatedCredential, Issuer, Resource, Tenant, Vault};

/// The most federated identity credentials that an application may have.
const MAX_CREDENTIALS: usize = 20;

/// The equivalent hosts of each cloud's login service.
const CLOUDS: [&[&str]; 4] = [
    &[
        "login.microsoftonline.com",
        "login.windows.net",
        "login.microsoft.com",
        "sts.windows.net",
    ],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.microsoftonline.de"],
];

/// Why something cannot be registered.
#[derive(Debug, Error)]
pub(crate) enum RegistryError {
    #[error("no tenant {0}: register it with POST /tenants first")]
    NoTenant(String),
    #[error("no application {0}: register it with POST /applications first")]
    NoApplication(String),
    #[error("no vault {0}: register it with POST /vaults first")]
    NoVault(String),
    #[error("{client_id} has no federated credential {name:?}")]
    NoCredential { client_id: String, name: String },
    #[error("{0} would have more than 20 federated credentials, Entra's limit")]
    TooManyCredentials(String),
    #[error("{client_id} has a federated credential {name:?} already")]
    SameCredential { client_id: String, name: String },
    #[error("issuer {0} needs either jwks_url or jwks")]
    NoKeys(String),
}

/// The registered objects. Ids are compared case-insensitively, as GUIDs are.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Registry {
    tenants: BTreeMap<String, Tenant>,
    applications: BTreeMap<String, Application>,
    issuers: BTreeMap<String, Issuer>,
    vaults: BTreeMap<String, Vault>,
    resources: Vec<Resource>,
}

impl Default for Registry {
    fn default() -> Self {
        let resource = |identifiers: &[&str]| Resource {
            identifiers: identifiers.iter().map(ToString::to_string).collect(),
        };
        Self {
            tenants: BTreeMap::new(),
            applications: BTreeMap::new(),
            issuers: BTreeMap::new(),
            vaults: BTreeMap::new(),
            resources: vec![
                resource(&[
                    "https://vault.azure.net",
                    "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
                ]),
                resource(&[
                    "https://management.azure.com",
                    "https://management.core.windows.net",
                    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
                ]),
                resource(&[
                    "https://storage.azure.com",
                    "e406a681-f3d4-42a8-90b6-c2b029497af1",
                ]),
                resource(&[
                    "https://graph.microsoft.com",
                    "00000003-0000-0000-c000-000000000000",
                ]),
                resource(&[
                    "https://database.windows.net",
                    "022907d3-0f1b-48f7-badc-1ba6abab6d66",
                ]),
            ],
        }
    }
}

impl Registry {
    pub(crate) fn add_tenant(&mut self, tenant: Tenant) {
        self.tenants.insert(tenant.id.to_ascii_lowercase(), tenant);
    }

    pub(crate) fn remove_tenant(&mut self, id: &str) -> Result<(), RegistryError> {
        self.tenants
            .remove(&id.to_ascii_lowercase())
            .map(drop)
            .ok_or_else(|| RegistryError::NoTenant(id.to_owned()))
    }

    /// The tenant of an id or a domain.
    pub(crate) fn tenant(&self, id: &str) -> Option<&Tenant> {
        self.tenants.get(&id.to_ascii_lowercase()).or_else(|| {
            self.tenants.values().find(|tenant| {
                tenant
                    .domains
                    .iter()
                    .any(|domain| domain.eq_ignore_ascii_case(id))
            })
        })
    }

    pub(crate) fn add_application(
        &mut self,
        mut application: Application,
    ) -> Result<(), RegistryError> {
        if self.tenant(&application.tenant).is_none() {
            return Err(RegistryError::NoTenant(application.tenant));
        }
        if application.object_id.is_empty() {
            application.object_id.clone_from(&application.client_id);
        }
        let credentials = std::mem::take(&mut application.federated_credentials);
        for credential in credentials {
            add_credential(&mut application, credential)?;
        }
        let key = application.client_id.to_ascii_lowercase();
        self.applications.insert(key, application);
        Ok(())
    }

    pub(crate) fn remove_application(&mut self, client_id: &str) -> Result<(), RegistryError> {
        self.applications
            .remove(&client_id.to_ascii_lowercase())
            .map(drop)
            .ok_or_else(|| RegistryError::NoApplication(client_id.to_owned()))
    }

    pub(crate) fn application(&self, client_id: &str) -> Option<&Application> {
        self.applications.get(&client_id.to_ascii_lowercase())
    }

    pub(crate) fn add_credential(
        &mut self,
        client_id: &str,
        credential: FederatedCredential,
    ) -> Result<(), RegistryError> {
        add_credential(self.application_mut(client_id)?, credential)
    }

    pub(crate) fn remove_credential(
        &mut self,
        client_id: &str,
        name: &str,
    ) -> Result<(), RegistryError> {
        let credentials = &mut self.application_mut(client_id)?.federated_credentials;
        let before = credentials.len();
        credentials.retain(|credential| credential.name != name);
        if credentials.len() == before {
            return Err(RegistryError::NoCredential {
                client_id: client_id.to_owned(),
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    pub(crate) fn add_issuer(&mut self, issuer: Issuer) -> Result<(), RegistryError> {
        if issuer.jwks_url.is_some() == issuer.jwks.is_some() {
            return Err(RegistryError::NoKeys(issuer.issuer));
        }
        self.issuers.insert(issuer.issuer.clone(), issuer);
        Ok(())
    }

    pub(crate) fn issuer(&self, issuer: &str) -> Option<&Issuer> {
        self.issuers.get(issuer)
    }

    pub(crate) fn add_vault(&mut self, vault: Vault) -> Result<(), RegistryError> {
        if self.tenant(&vault.tenant).is_none() {
            return Err(RegistryError::NoTenant(vault.tenant));
        }
        self.vaults.insert(vault.name.to_ascii_lowercase(), vault);
        Ok(())
    }

    pub(crate) fn vault(&self, name: &str) -> Option<&Vault> {
        self.vaults.get(&name.to_ascii_lowercase())
    }

    pub(crate) fn set_secret(
        &mut self,
        vault: &str,
        name: &str,
        value: String,
    ) -> Result<(), RegistryError> {
        self.vaults
            .get_mut(&vault.to_ascii_lowercase())
            .ok_or_else(|| RegistryError::NoVault(vault.to_owned()))?
            .secrets
            .insert(name.to_owned(), value);
        Ok(())
    }

    pub(crate) fn add_resource(&mut self, resource: Resource) {
        self.resources.push(resource);
    }

    /// Whether tokens can be requested for this resource. One trailing slash makes no difference here,
    /// but it does in the token's audience.
    pub(crate) fn knows_resource(&self, resource: &str) -> bool {
        let bare = resource.strip_suffix('/').unwrap_or(resource);
        self.resources
            .iter()
            .flat_map(|resource| &resource.identifiers)
            .any(|identifier| identifier.eq_ignore_ascii_case(bare))
    }

    fn application_mut(&mut self, client_id: &str) -> Result<&mut Application, RegistryError> {
        self.applications
            .get_mut(&client_id.to_ascii_lowercase())
            .ok_or_else(|| RegistryError::NoApplication(client_id.to_owned()))
    }
}

/// Whether two hosts are login services of the same cloud. A host that belongs to no cloud, such as an
/// address of this machine, serves every tenant.
pub(crate) fn same_cloud(host: &str, other: &str) -> bool {
    let cloud = |host: &str| CLOUDS.iter().position(|hosts| hosts.contains(&host));
    match (cloud(host), cloud(other)) {
        (Some(one), Some(two)) => one == two,
        _ => true,
    }
}

fn add_credential(
    application: &mut Application,
    mut credential: FederatedCredential,
) -> Result<(), RegistryError> {
    if credential.name.is_empty() {
        credential.name = credential.subject.replace([':', '/'], "-");
    }
    let client_id = application.client_id.clone();
    let credentials = &mut application.federated_credentials;
    if credentials.len() >= MAX_CREDENTIALS {
        return Err(RegistryError::TooManyCredentials(client_id));
    }
    if credentials
        .iter()
        .any(|other| other.name == credential.name)
    {
        return Err(RegistryError::SameCredential {
            client_id,
            name: credential.name,
        });
    }
    credentials.push(credential);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_known_with_and_without_its_slash() {
        let registry = Registry::default();
        assert!(registry.knows_resource("https://management.core.windows.net/"));
        assert!(registry.knows_resource("https://vault.azure.net"));
        assert!(!registry.knows_resource("https://vault.azure.net//"));
        assert!(!registry.knows_resource("https://other.example"));
    }

    #[test]
    fn distinguishes_clouds() {
        assert!(same_cloud("sts.windows.net", "login.microsoftonline.com"));
        assert!(!same_cloud(
            "login.microsoftonline.us",
            "login.microsoftonline.com"
        ));
        assert!(same_cloud("127.0.0.1", "login.microsoftonline.com"));
    }

    #[test]
    fn an_application_has_at_most_20_credentials() {
        let mut registry = Registry::default();
        registry.add_tenant(Tenant::new("T"));
        registry
            .add_application(Application {
                tenant: "t".to_owned(),
                client_id: "C".to_owned(),
                ..Application::default()
            })
            .unwrap();
        for number in 0..20 {
            let credential = FederatedCredential::service_account("i", "ns", &number.to_string());
            registry.add_credential("c", credential).unwrap();
        }
        let one_more = FederatedCredential::service_account("i", "ns", "more");
        assert!(matches!(
            registry.add_credential("c", one_more),
            Err(RegistryError::TooManyCredentials(_))
        ));
    }
}
