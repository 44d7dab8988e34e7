//! Requests that are refused without an exchange, and the sentence that the application gets.

use thiserror::Error;

use crate::identity::IdentityError;

/// Why a request is refused. `error` maps each to an HTTP status.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// An App Service request without a supported `api-version`.
    #[error("api-version must be 2017-09-01, or 2019-08-01 or newer")]
    ApiVersion,
    /// `client_id` is no GUID.
    #[error("client_id is not a GUID (8-4-4-4-12 hexadecimal digits)")]
    ClientIdNotGuid,
    /// The request came through a proxy: a guard against request forgery (IMDS R13).
    #[error("Header contains 'X-Forwarded-For' are not supported.")]
    Forwarded,
    /// No `Host`, or several, against RFC 9112, section 3.2: readers would choose different hosts.
    #[error("Invalid request: HTTP/1.1 requires the header Host, once")]
    Host,
    /// The request names an identity that is not known here (IMDS R10).
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A request to the loopback address itself, which the redirect has not brought here.
    #[error(
        "this proxy answers requests to 169.254.169.254, not to 127.0.0.1, where kubectl port-forward \
         asks too. To allow both, set AZWI_LOOPBACK=on for the proxy (--loopback, the chart's \
         proxy.loopback)"
    )]
    Loopback,
    /// Servers could read the path as different ones.
    #[error("Invalid request: the path has escapes or dot segments that have no single meaning")]
    MalformedPath,
    /// Another method than GET on a token endpoint (IMDS R13).
    #[error("Only GET requests are supported")]
    Method,
    /// The token endpoint in a spelling that IMDS does not accept.
    #[error("Invalid request: the token endpoint is /metadata/identity/oauth2/token, spelled so")]
    MisspelledTokenPath,
    /// IMDS is switched off, because programs outside the pod can reach the port.
    #[error(
        "this proxy answers the endpoint in IDENTITY_ENDPOINT alone (AZWI_IMDS=off): the pod is on \
         the node's network, where others could ask too"
    )]
    NoImds,
    /// The header `Metadata: true` is missing (IMDS R2): the answer that availability probes expect.
    #[error("Required metadata header not specified")]
    NoMetadataHeader,
    /// The header `Metadata` has another value than `true`, or is there twice. No probe sends that.
    #[error("Required metadata header not specified")]
    OtherMetadataHeader,
    /// A path of the node's identity (IMDS R14, D9).
    #[error("this path concerns the node's identity, which pods do not get")]
    NodeIdentity,
    /// No resource (IMDS R3).
    #[error("Required query variable 'resource' is missing")]
    NoResource,
    /// A path below or beside one of the proxy's own, or one that is switched off.
    #[error(
        "the proxy's own paths are /readyz, the token endpoints and, if it is switched on (AZWI_QUIT=on), \
         /quitquitquit: this is none of them"
    )]
    NotOwnPath,
    /// The bytes are not a request in HTTP/1.1.
    #[error("Invalid request: it cannot be read as HTTP/1.1")]
    NotHttp,
    /// The relay policy does not allow this path.
    #[error("the policy of the workload identity proxy (--relay) does not let this path through")]
    NotRelayed,
    /// A request to end the proxy that has a header of proxies or browsers.
    #[error(
        "a request to /quitquitquit must not have the headers Origin, Referer, Forwarded and X-Forwarded-For: a \
         container of the pod sends it itself"
    )]
    QuitFromElsewhere,
    /// Another method than POST on the path that ends the proxy.
    #[error("Only POST requests end the proxy")]
    QuitMethod,
    /// A parameter occurs twice, or there are too many parameters.
    #[error("the query has a parameter twice, or too many parameters")]
    RepeatedParameter,
    /// The resource is not UTF-8, or has control characters.
    #[error("resource is not printable UTF-8 text")]
    ResourceNotText,
    /// The resource is larger than what the proxy keeps in memory for a token.
    #[error("resource is longer than 1024 bytes")]
    ResourceTooLong,
    /// App Service's secret is missing or wrong.
    #[error("the header X-IDENTITY-HEADER or Secret must hold the value of IDENTITY_HEADER")]
    Secret,
    /// More than one of the parameters that select an identity.
    #[error("only one of client_id, object_id, msi_res_id and mi_res_id may be given")]
    SeveralSelectors,
    /// The head of the request is larger than a connection's buffer, or has more headers than hyper reads.
    #[error("Invalid request: its head is larger than 16 KiB, or has more than 100 headers")]
    TooLarge,
}

impl Refusal {
    /// How to correct the request, for the log.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::ApiVersion => "send api-version=2019-08-01",
            Self::ClientIdNotGuid => "send the identity's client id, not its name or resource id",
            Self::Forwarded => "add 169.254.169.254 to the NO_PROXY of the application",
            Self::Host | Self::NotHttp => "use a client that speaks HTTP/1.1",
            Self::Identity(IdentityError::NoDefault) => {
                "annotate the service account with azure.workload.identity/client-id, and restart the pod"
            }
            Self::Identity(IdentityError::Unknown { .. }) => {
                "send client_id, or give the pod the annotation azure.workload.identity/identity-map"
            }
            Self::Loopback => "ask 169.254.169.254, or set AZWI_LOOPBACK=on for the proxy",
            Self::MalformedPath | Self::MisspelledTokenPath | Self::NotOwnPath => {
                "ask /metadata/identity/oauth2/token"
            }
            Self::Method => "send GET",
            Self::NoImds => "use an SDK that reads IDENTITY_ENDPOINT",
            Self::NoMetadataHeader => "send the header Metadata: true",
            Self::OtherMetadataHeader => "send the header Metadata: true, once",
            Self::NodeIdentity => "nothing: it is refused on purpose",
            Self::NoResource => "send resource, such as https://vault.azure.net",
            Self::NotRelayed => {
                "allow the path with the chart's proxy.relay, if the application needs it"
            }
            Self::QuitFromElsewhere => {
                "send POST from the container that ends last, without a proxy"
            }
            Self::QuitMethod => "send POST",
            Self::RepeatedParameter => "send each parameter once",
            Self::ResourceNotText | Self::ResourceTooLong => "correct resource",
            Self::Secret => "send the value of IDENTITY_HEADER in the header X-IDENTITY-HEADER",
            Self::SeveralSelectors => "send one of the parameters that select an identity",
            Self::TooLarge => "send fewer or shorter headers, such as baggage and Cookie",
        }
    }
}
