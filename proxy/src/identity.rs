//! The pod's identities: which client id a request stands for (IMDS R10).

use std::borrow::Cow;
use std::collections::HashMap;

use thiserror::Error;

/// How a request names an identity.
#[derive(Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// By its client id, a GUID.
    Client(Cow<'a, str>),
    /// Not at all: the pod's default identity.
    Default,
    /// By its object id or resource id.
    Other {
        /// The parameter that named it.
        selector: &'static str,
        /// The object id or resource id.
        id: Cow<'a, str>,
    },
}

/// The pod's identities.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// The client id for requests that name no identity.
    pub default: Option<String>,
    /// Client ids by object id or resource id in lower case: Azure compares them without regard to
    /// case.
    pub by_id: HashMap<String, String>,
}

/// A request names an identity that is not known here. Each message is sent to the application.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// No client id in the request and no default.
    #[error(
        "no client_id in the request and AZURE_CLIENT_ID is not set: annotate the service account \
         with azure.workload.identity/client-id and restart the pod, or send client_id"
    )]
    NoDefault,
    /// An object id or resource id without a configured client id.
    #[error(
        "Identity not found: no client id is known for this {selector}. Send client_id instead, or \
         give the pod the annotation azure.workload.identity/identity-map: \"<{selector}>=<client id>\""
    )]
    Unknown {
        /// The parameter that named the identity.
        selector: &'static str,
    },
}

impl Identities {
    /// The client id of the identity that a request names. Another identity's is never given instead.
    ///
    /// # Errors
    ///
    /// The identity is not known.
    pub fn client_id<'a>(&'a self, identity: &'a Identity<'_>) -> Result<&'a str, IdentityError> {
        match identity {
            Identity::Client(id) => Ok(id),
            Identity::Default => self.default.as_deref().ok_or(IdentityError::NoDefault),
            Identity::Other { selector, id } => self
                .by_id
                .get(&id.to_ascii_lowercase())
                .map(String::as_str)
                .ok_or(IdentityError::Unknown { selector }),
        }
    }
}
