//! Environment variables that one side sets and another reads.

/// The client id that a token is asked for unless the request names another.
pub const CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// The tenant of the identity.
pub const TENANT_ID: &str = "AZURE_TENANT_ID";
/// The path of the projected service account token.
pub const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The Entra authority, with a trailing slash.
pub const AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";

/// Certificates (PEM) that the proxy trusts besides the built-in roots: an inspecting egress
/// proxy's, or a private cloud's. Not known to the peer.
pub const CA_DATA: &str = "AZWI_CA_DATA";

/// Client ids by object id or resource id, as `ID=CLIENT_ID` split by `;` or `,`: what the proxy
/// gives tokens of when a request names an identity by such an id. Not known to the peer.
pub const IDENTITY_MAP: &str = "AZWI_IDENTITY_MAP";

/// The secret that requests to the proxy's App Service endpoint must carry; without it there is no
/// such endpoint. Not known to the peer.
pub const IDENTITY_HEADER: &str = "AZWI_IDENTITY_HEADER";

/// Whether the proxy answers as IMDS does: `on`, or `off` where others than the pod reach its port.
/// Not known to the peer.
pub const IMDS: &str = "AZWI_IMDS";

/// What the proxy relays to the real IMDS: `allow`, `deny` or path prefixes. Not known to the peer.
pub const RELAY: &str = "AZWI_RELAY";

/// What SIGTERM does to the proxy: `linger` or, for a native sidecar, `now`. Not known to the peer.
pub const SHUTDOWN: &str = "AZWI_SHUTDOWN";

/// The port for the proxy's metrics, `0` for none. Not known to the peer.
pub const METRICS_PORT: &str = "AZWI_METRICS_PORT";

/// Identity bindings: the token proxy's address.
pub const KUBERNETES_TOKEN_PROXY: &str = "AZURE_KUBERNETES_TOKEN_PROXY";
/// Identity bindings: the server name for TLS.
pub const KUBERNETES_SNI_NAME: &str = "AZURE_KUBERNETES_SNI_NAME";
/// Identity bindings: the file with the token proxy's CA.
pub const KUBERNETES_CA_FILE: &str = "AZURE_KUBERNETES_CA_FILE";
/// Identity bindings: the token proxy's CA itself (PEM).
pub const KUBERNETES_CA_DATA: &str = "AZURE_KUBERNETES_CA_DATA";

/// proxy-init: the port that the metadata address is redirected to.
pub const PROXY_PORT: &str = "PROXY_PORT";
/// proxy-init: the uid that is not redirected.
pub const PROXY_UID: &str = "PROXY_UID";
/// proxy-init: the metadata address.
pub const METADATA_IP: &str = "METADATA_IP";
/// proxy-init: the metadata port.
pub const METADATA_PORT: &str = "METADATA_PORT";

/// A value as it is written in a container's `env`: the kubelet replaces `$(NAME)` by another variable of
/// the container, and reads `$$` as `$`.
///
/// ```
/// assert_eq!(contract::variable::literal("p$(HOME)"), "p$$(HOME)");
/// ```
#[must_use]
pub fn literal(value: &str) -> String {
    value.replace('$', "$$")
}
