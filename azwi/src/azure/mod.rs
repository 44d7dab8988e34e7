//! What Azure has: identities and their federated credentials, as `az` writes them; and [what it should
//! have](plan), [written](mod@write) for the tools that create it.

pub mod plan;
mod read;
mod resource_id;
pub mod write;

pub use read::{ReadError, read};
pub use resource_id::ResourceId;

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

    /// The identity with this object id, which some write where a client id belongs.
    #[must_use]
    pub fn principal(&self, principal_id: &str) -> Option<&Identity> {
        let mut identities = self.identities.iter();
        identities.find(|it| {
            let id = it.principal_id.as_deref();
            id.is_some_and(|id| id.eq_ignore_ascii_case(principal_id))
        })
    }

    /// Whether the identity of a federated credential is known.
    #[must_use]
    pub fn knows_owner(&self, credential: &FederatedCredential) -> bool {
        match &credential.owner {
            Owner::Resource(id) => self.identities.iter().any(|it| {
                let other = it.resource_id.as_deref();
                other.is_some_and(|other| other.eq_ignore_ascii_case(id))
            }),
            Owner::Client(_) => true,
            Owner::Unknown => false,
        }
    }

    /// Adds what another document has.
    pub fn extend(&mut self, other: Self) {
        self.identities.extend(other.identities);
        self.credentials.extend(other.credentials);
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
    /// The subject that a token must have, to the letter. Empty for a flexible one, which no token of a cluster matches:
    /// its expression is for issuers such as GitHub's.
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
