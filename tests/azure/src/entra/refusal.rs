//! Entra's errors: number, OAuth error, status and text, as observed in the original. In the text a
//! number begins with `AADSTS`; trace id, correlation id and time follow it.

use http::StatusCode;
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::clock;

const FEDERATION: &str = "Check your federated identity credential Subject, Audience and Issuer \
    against the presented assertion. \
    https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

const CONSENT: &str = "This can happen if the application has not been installed by the \
    administrator of the tenant or consented to by any user in the tenant.";

const CREDENTIALS: &str = "Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .";

/// Why Entra gives no token.
#[derive(Debug, Error, PartialEq)]
pub(super) enum Refusal {
    #[error("The endpoint only accepts POST, OPTIONS requests. Received a {0} request.")]
    Method(String),
    #[error("The request body must contain the following parameter: '{0}'.")]
    MissingParameter(&'static str),
    #[error("The request is not properly formatted. The parameter '{0}' is duplicated.")]
    DuplicateParameter(String),
    #[error("The app requested an unsupported grant type '{0}'.")]
    GrantType(String),
    #[error(
        "The required field '{0}' is missing from the credential. Ensure that you have all the \
         necessary parameters for the login request."
    )]
    MissingField(&'static str),
    #[error(
        "The request body must contain the following parameter: 'client_assertion' or \
         'client_secret'."
    )]
    MissingCredential,
    #[error("Unsupported 'client_assertion_type' value '{0}'.")]
    AssertionType(String),
    #[error(
        "The provided value for scope {0} is not valid. Client credential flows must have a scope \
         value with /.default suffixed to the resource identifier (application ID URI)."
    )]
    NotDefaultScope(String),
    #[error(
        "The provided request must include a 'scope' input parameter. The provided value for the \
         input parameter 'scope' is not valid. The scope {0} is not valid."
    )]
    Scope(String),
    #[error(
        "The provided request must include a 'scope' input parameter. The provided value for the \
         input parameter 'scope' is not valid. The scope {0} is not valid. static scope limit \
         exceeded."
    )]
    SeveralScopes(String),
    #[error(
        "Specified tenant identifier '{0}' is neither a valid DNS name, nor a valid external domain."
    )]
    TenantName(String),
    #[error(
        "Tenant '{0}' not found. Check to make sure you have the correct tenant ID and are signing \
         into the correct cloud. Check with your subscription administrator, this may happen if \
         there are no active subscriptions for the tenant."
    )]
    Tenant(String),
    #[error(
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. \
         {CONSENT} You may have sent your authentication request to the wrong tenant."
    )]
    Application { client_id: String, tenant: String },
    #[error(
        "The resource principal named {resource} was not found in the tenant named {tenant}. \
         {CONSENT} You might have sent your authentication request to the wrong tenant."
    )]
    Resource { resource: String, tenant: String },
    #[error("JWT token is invalid or malformed.")]
    Malformed,
    #[error(
        "Invalid JWT token. '{0}' is not a supported signature algorithm. Supported signing \
         algorithms are: 'RS256'"
    )]
    Algorithm(String),
    #[error(
        "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor \
         keyId specified in token header."
    )]
    NoKeyId,
    #[error(
        "Invalid JWT header type specified, must be 'JWT' or 'http://openid.net/specs/jwt/1.0'."
    )]
    HeaderType,
    #[error(
        "No matching federated identity record found for presented assertion. Assertion Issuer: \
         '{issuer}'. Assertion Subject: '{subject}'. Assertion Audience: '{audience}'. \
         https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    NoCredential {
        issuer: String,
        subject: String,
        audience: String,
    },
    #[error(
        "No matching federated identity record found for presented assertion issuer '{0}'. \
         {FEDERATION}"
    )]
    Issuer(String),
    #[error(
        "No matching federated identity record found for presented assertion audience '{0}'. \
         {FEDERATION}"
    )]
    Audience(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. \
         {FEDERATION}"
    )]
    Subject(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. The \
         subject matches with case-insensitive comparison, but not with case-sensitive comparison. \
         {FEDERATION}"
    )]
    SubjectCase(String),
    #[error("Request to External OIDC endpoint failed.")]
    IssuerUnreachable,
    #[error("Failed to parse provider signing keys.")]
    IssuerKeys,
    #[error(
        "Client assertion contains an invalid signature. [Reason - The key was not found., \
         Thumbprint of key used by client: '{0}'] {CREDENTIALS}"
    )]
    KeyNotFound(String),
    #[error(
        "Client assertion contains an invalid signature. [Reason - The provided signature value \
         did not match the expected signature value., Thumbprint of key used by client: '{0}'] \
         {CREDENTIALS}"
    )]
    Signature(String),
    #[error(
        "Client assertion is not within its valid time range. Current time: {}, assertion valid \
         from {}, expiry time of assertion {}. {CREDENTIALS}",
        clock::precise(*.now), clock::precise(*.from), clock::precise(*.until)
    )]
    Time { now: i64, from: i64, until: i64 },
    #[error("Unknown or invalid instance.")]
    Instance,
    #[error("{text}")]
    Listed {
        code: u32,
        status: u16,
        error: &'static str,
        text: String,
    },
}

impl Refusal {
    /// The AADSTS code.
    pub(super) fn code(&self) -> u32 {
        self.facts().0
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.facts().1).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// The body of the answer.
    pub(super) fn body(&self, trace_id: &Uuid, correlation_id: &Uuid) -> Value {
        let (code, _, error) = self.facts();
        let timestamp = clock::timestamp(clock::now());
        json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {self} Trace ID: {trace_id} Correlation ID: {correlation_id} \
                 Timestamp: {timestamp}"
            ),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace_id.to_string(),
            "correlation_id": correlation_id.to_string(),
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        })
    }

    /// Number, status and OAuth error.
    fn facts(&self) -> (u32, u16, &'static str) {
        match self {
            Self::Method(_) => (900_561, 400, "invalid_request"),
            Self::MissingParameter(_) => (900_144, 400, "invalid_request"),
            Self::DuplicateParameter(_) => (9_000_411, 400, "invalid_request"),
            Self::GrantType(_) => (70_003, 400, "unsupported_grant_type"),
            Self::MissingField(_) => (90_014, 400, "invalid_request"),
            Self::MissingCredential => (7_000_218, 401, "invalid_client"),
            Self::AssertionType(_) => (90_023, 400, "invalid_request"),
            Self::NotDefaultScope(_) => (1_002_012, 400, "invalid_scope"),
            Self::Scope(_) | Self::SeveralScopes(_) => (70_011, 400, "invalid_scope"),
            Self::TenantName(_) => (900_023, 400, "invalid_request"),
            Self::Tenant(_) => (90_002, 400, "invalid_request"),
            Self::Application { .. } => (700_016, 400, "unauthorized_client"),
            Self::Resource { .. } => (500_011, 400, "invalid_resource"),
            Self::Malformed => (50_027, 400, "invalid_request"),
            Self::Algorithm(_) => (5_002_738, 401, "invalid_client"),
            Self::NoKeyId => (5_002_723, 401, "invalid_client"),
            Self::HeaderType => (5_002_727, 400, "invalid_request"),
            Self::NoCredential { .. } => (70_021, 400, "invalid_request"),
            Self::Issuer(_) => (700_211, 401, "invalid_client"),
            Self::Audience(_) => (700_212, 401, "invalid_client"),
            Self::Subject(_) => (700_213, 401, "invalid_client"),
            Self::SubjectCase(_) => (7_002_138, 401, "invalid_client"),
            Self::IssuerUnreachable => (90_061, 400, "invalid_request"),
            Self::IssuerKeys => (900_612, 400, "invalid_request"),
            Self::KeyNotFound(_) | Self::Signature(_) => (700_027, 401, "invalid_client"),
            Self::Time { .. } => (700_024, 401, "invalid_client"),
            Self::Instance => (50_049, 400, "invalid_instance"),
            Self::Listed {
                code,
                status,
                error,
                ..
            } => (*code, *status, error),
        }
    }
}

/// Whether Entra sends `Retry-After` with this number.
pub(super) fn is_throttling(code: u32) -> bool {
    code == 90_055
}
