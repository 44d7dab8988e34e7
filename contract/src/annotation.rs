//! Annotations on pods and service accounts.

/// What every annotation and label of the product starts with.
pub const PREFIX: &str = "azure.workload.identity/";

/// On the service account: the client id (a GUID) of the application or managed identity.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// On the service account: the tenant (a GUID or a domain), instead of the cluster's.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";

/// On the pod or its service account: the lifetime of the projected token in seconds, 3600 to
/// 86400. The pod's value wins.
pub const SERVICE_ACCOUNT_TOKEN_EXPIRATION: &str =
    "azure.workload.identity/service-account-token-expiration";

/// On the pod: names of containers that get neither variables nor mount, split by `;` or `,`.
pub const SKIP_CONTAINERS: &str = "azure.workload.identity/skip-containers";

/// On the pod: `"true"` injects proxy-init and the proxy, `"false"` does not.
pub const INJECT_PROXY_SIDECAR: &str = "azure.workload.identity/inject-proxy-sidecar";

/// On the pod: the proxy's port.
pub const PROXY_SIDECAR_PORT: &str = "azure.workload.identity/proxy-sidecar-port";

/// On the pod, written by the webhook: the identity that it injected, so that a later call can tell
/// it from the user's own. Not known to the peer.
pub const INJECTED: &str = "azure.workload.identity/injected";
