//! What Azure has: identities and their federated credentials, as `az` writes them.

mod read;

pub use read::{ReadError, read};

/// Identities and federated credentials of one or several documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Managed identities and applications.
    pub identities: Vec<Identity>,
    /// Federated credentials of any of them.
    pub credentials: Vec<FederatedCredential>,
}

impl Inventory {
    /// The identity with this client id, in any letter case.
    #[must_use]
    pub fn identity(&self, client_id: &str) -> Option<&Identity> {
        let mut identities = self.identities.iter();
        identities.find(|it| it.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The federated credentials of an identity: those under its resource id, and those that were read with its
    /// client id.
    pub fn credentials_of<'a>(
        &'a self,
        client_id: &'a str,
    ) -> impl Iterator<Item = &'a FederatedCredential> {
        let resource_id = self
            .identity(client_id)
            .and_then(|it| it.resource_id.as_deref());
        self.credentials.iter().filter(move |it| match &it.owner {
            Owner::Resource(id) => resource_id.is_some_and(|other| other.eq_ignore_ascii_case(id)),
            Owner::Client(id) => id.eq_ignore_ascii_case(client_id),
            Owner::Unknown => false,
        })
    }
}

/// A managed identity or an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its name in Azure.
    pub name: String,
    /// The client id, which an application calls `appId`.
    pub client_id: String,
    /// The object id of its service principal.
    pub principal_id: Option<String>,
    /// The tenant.
    pub tenant_id: Option<String>,
    /// The resource id of a managed identity, `None` for an application.
    pub resource_id: Option<String>,
}

/// A federated credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederatedCredential {
    /// Its name, unique among those of its identity.
    pub name: String,
    /// The issuer that a token must have, to the letter.
    pub issuer: String,
    /// The subject that a token must have, to the letter.
    pub subject: String,
    /// The audiences of which a token must have one.
    pub audiences: Vec<String>,
    /// The identity that it belongs to.
    pub owner: Owner,
}

/// The identity of a federated credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The managed identity with this resource id.
    Resource(String),
    /// The identity or application with this client id.
    Client(String),
    /// `az ad app federated-credential list` does not name the application.
    Unknown,
}
