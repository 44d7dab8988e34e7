//! Requests that are refused without a look at Entra.

use http::StatusCode;
use thiserror::Error;

use super::Answer;

/// Why a request is refused, in the words that the application gets.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// `client_id` is no GUID.
    #[error("client_id is not a GUID (8-4-4-4-12 hexadecimal digits)")]
    ClientIdNotGuid,
    /// The request came through a proxy: a guard against request forgery (IMDS R13).
    #[error("Header contains 'X-Forwarded-For' are not supported.")]
    Forwarded,
    /// A path that is not read in one way alone.
    #[error("Invalid request: the path has escapes or dot segments that have no single meaning")]
    MalformedPath,
    /// Another method than GET on the token endpoint (IMDS R13).
    #[error("Only GET requests are supported")]
    Method,
    /// The token endpoint in a spelling that IMDS does not know.
    #[error("Invalid request: the token endpoint is /metadata/identity/oauth2/token, spelled so")]
    MisspelledTokenPath,
    /// No client id in the request and none configured.
    #[error(
        "no client_id in the request and AZURE_CLIENT_ID is not set: annotate the service account \
         with azure.workload.identity/client-id and restart the pod, or send client_id"
    )]
    NoClientId,
    /// IMDS is not answered for, because others than the pod reach the port.
    #[error(
        "this proxy answers the endpoint in IDENTITY_ENDPOINT alone (AZWI_IMDS=off): the pod is on \
         the node's network, where others could ask too"
    )]
    NoImds,
    /// The header `Metadata: true` is missing (IMDS R2): what availability probes look for.
    #[error("Required metadata header not specified")]
    NoMetadataHeader,
    /// A path that concerns the node's identity (IMDS R14, D9).
    #[error("this path concerns the node's identity, which pods do not get")]
    NodeIdentity,
    /// No resource (IMDS R3).
    #[error("Required query variable 'resource' is missing")]
    NoResource,
    /// What came cannot be read as HTTP/1.1.
    #[error("Invalid request: it cannot be read as HTTP/1.1")]
    NotHttp,
    /// The configured policy does not let this path through.
    #[error("the policy of the workload identity proxy (--relay) does not let this path through")]
    NotRelayed,
    /// A parameter is there twice, or there are too many of them.
    #[error("the query has a parameter twice, or too many parameters")]
    RepeatedParameter,
    /// The resource is not UTF-8, or has control characters.
    #[error("resource is not printable UTF-8 text")]
    ResourceNotText,
    /// More than one of the parameters that select an identity.
    #[error("only one of client_id, object_id, msi_res_id and mi_res_id may be given")]
    SeveralSelectors,
    /// The head of the request is larger than a connection's buffer.
    #[error("Invalid request: its head is larger than 8 KiB")]
    TooLarge,
    /// An object id or resource id that no client id is configured for.
    #[error(
        "Identity not found: no client id is known for this {selector}. Send client_id instead, or \
         give the pod the annotation azure.workload.identity/identity-map: \"<{selector}>=<client id>\""
    )]
    UnknownIdentity {
        /// The parameter that named the identity.
        selector: &'static str,
    },
}

impl Refusal {
    /// The answer that says so.
    pub fn answer(&self) -> Answer {
        let (status, error) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::NodeIdentity | Self::NoImds => (StatusCode::NOT_FOUND, "not_found"),
            Self::NotRelayed => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ResourceNotText => (StatusCode::BAD_REQUEST, "invalid_resource"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        let answer = Answer::error(status, error, &self.to_string());
        match self {
            Self::Method => answer.allowing_get(),
            _ => answer,
        }
    }
}
