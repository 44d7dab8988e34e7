//! Environment variables that one program sets and another reads.
//!
//! Those with the prefix `AZWI_` are this project's own. Upstream has the others.

/// The client id for requests that select no identity.
pub const CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// The tenant of the identity.
pub const TENANT_ID: &str = "AZURE_TENANT_ID";
/// The path of the projected service account token.
pub const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// The Entra authority, with a trailing slash.
pub const AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";

/// Certificates (PEM) that the proxy trusts besides the built-in roots: an inspecting egress
/// proxy's, or a private cloud's.
pub const CA_DATA: &str = "AZWI_CA_DATA";

/// Client ids by object id or resource id, as `ID=CLIENT_ID` separated by `;` or `,`, for requests that
/// select an identity by such an id.
pub const IDENTITY_MAP: &str = "AZWI_IDENTITY_MAP";

/// The secret that requests to the proxy's App Service endpoint must carry; without it there is no
/// such endpoint.
pub const IDENTITY_HEADER: &str = "AZWI_IDENTITY_HEADER";

/// Whether the proxy answers as IMDS does: `on`, or `off` where other pods reach its port.
pub const IMDS: &str = "AZWI_IMDS";

/// Whether the proxy answers as IMDS does on the loopback address itself, where `kubectl port-forward` and
/// SDKs with `AZURE_POD_IDENTITY_AUTHORITY_HOST` ask: `on` or `off`.
pub const LOOPBACK: &str = "AZWI_LOOPBACK";

/// The proxy's relay policy for the real IMDS: `allow`, `deny` or path prefixes.
pub const RELAY: &str = "AZWI_RELAY";

/// The key with which the proxy announces its connections to IMDS, in the proxy and proxy-init of a pod.
/// Without it, proxy-init exempts every connection of the proxy's user.
pub const RELAY_KEY: &str = "AZWI_RELAY_KEY";

/// Whether containers of the pod may end the proxy with a request: `on` or `off`.
pub const QUIT: &str = "AZWI_QUIT";

/// The proxy's reaction to SIGTERM: `linger`, seconds or, for a native sidecar, `now`.
pub const SHUTDOWN: &str = "AZWI_SHUTDOWN";

/// Resources, separated by commas, whose tokens the proxy gets before the application starts.
pub const PREFETCH: &str = "AZWI_PREFETCH";

/// Whether the application starts while the proxy gets no token: `warn` or `enforce`.
pub const VERIFY: &str = "AZWI_VERIFY";

/// The port for the proxy's metrics, `0` for none.
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

/// Escapes a value for a container's `env`, where the kubelet replaces `$(NAME)` with another variable of
/// the container, perhaps a secret, and `$$` with `$`.
///
/// ```
/// assert_eq!(contract::variable::literal("p$(HOME)"), "p$$(HOME)");
/// ```
#[must_use]
pub fn literal(value: &str) -> String {
    value.replace('$', "$$")
}
