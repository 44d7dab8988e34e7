//! The pod's identities: which client id a request means (IMDS R10).

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::value::is_guid;
use serde::Deserialize;
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

impl Identity<'_> {
    /// The object id that a request names its identity by.
    #[must_use]
    pub fn object_id(&self) -> Option<&str> {
        match self {
            Self::Other {
                selector: "object_id" | "principal_id",
                id,
            } if is_guid(id) => Some(id),
            _ => None,
        }
    }
}

/// The object id of the identity that an access token is for. The signature is not checked: Entra sent the
/// token.
#[must_use]
pub fn object_id(access_token: &str) -> Option<String> {
    let payload = access_token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    claims.oid.filter(|id| is_guid(id))
}

#[derive(Deserialize)]
struct Claims {
    oid: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b1ec7ed-0000-0000-0000-000000000000";

    #[test]
    fn reads_the_object_id_of_a_token() {
        let token = |payload: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        let found = object_id(&token(&format!(r#"{{"aud":"a","oid":"{ID}"}}"#)));
        assert_eq!(found.as_deref(), Some(ID));
        for unknown in [r#"{"aud":"a"}"#, r#"{"oid":"x"}"#, r#"{"oid":1}"#, "[]", ""] {
            assert_eq!(object_id(&token(unknown)), None, "{unknown}");
        }
        for unknown in ["", "opaque", "a.b", "a.!.c", "a.b.c.d.e"] {
            assert_eq!(object_id(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn only_an_object_id_in_the_form_of_a_guid_can_be_the_pods_own() {
        let other = |selector, id: &'static str| Identity::Other {
            selector,
            id: id.into(),
        };
        assert_eq!(other("object_id", ID).object_id(), Some(ID));
        assert_eq!(other("principal_id", ID).object_id(), Some(ID));
        for none in [
            other("object_id", "/subscriptions/x"),
            other("mi_res_id", ID),
            Identity::Client(ID.into()),
            Identity::Default,
        ] {
            assert_eq!(none.object_id(), None, "{none:?}");
        }
    }
}
