//! Annotations on pods and service accounts.

/// The prefix of every annotation and label of the product.
pub const PREFIX: &str = "azure.workload.identity/";

/// On the service account: the client id (a GUID) of the application or managed identity.
pub const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// On the service account: the tenant (a GUID or a domain), instead of the cluster's.
pub const TENANT_ID: &str = "azure.workload.identity/tenant-id";

/// On the pod or its service account: the lifetime of the projected token in seconds, 3600 to
/// 86400. The pod's value wins.
pub const SERVICE_ACCOUNT_TOKEN_EXPIRATION: &str =
    "azure.workload.identity/service-account-token-expiration";

/// On the pod: names of containers that get neither variables nor mounts, separated by `;` or `,`.
pub const SKIP_CONTAINERS: &str = "azure.workload.identity/skip-containers";

/// On the pod: `"true"` injects proxy-init and the proxy, `"false"` does not.
pub const INJECT_PROXY_SIDECAR: &str = "azure.workload.identity/inject-proxy-sidecar";

/// On the pod, beside [`INJECT_PROXY_SIDECAR`]: `redirect` or `environment`, how applications reach the
/// proxy. Upstream does not know it.
pub const PROXY_MODE: &str = "azure.workload.identity/proxy-mode";

/// On the pod: seconds without a request after which a plain sidecar of a pod that ends, ends too. Upstream
/// does not know it.
pub const PROXY_LINGER_SECONDS: &str = "azure.workload.identity/proxy-linger-seconds";

/// On the pod: `"true"` lets the pod's containers end a plain sidecar with a request, `"false"` does not.
/// Upstream does not know it.
pub const PROXY_QUIT: &str = "azure.workload.identity/proxy-quit";

/// On the pod: resources, separated by commas, whose tokens the proxy gets before the application starts.
/// Upstream does not know it.
pub const PROXY_PREFETCH: &str = "azure.workload.identity/proxy-prefetch";

/// On the pod: `warn` or `enforce`, whether the application starts while the proxy gets no token. Upstream
/// does not know it.
pub const PROXY_VERIFY: &str = "azure.workload.identity/proxy-verify";

/// On the pod: the proxy's port.
pub const PROXY_SIDECAR_PORT: &str = "azure.workload.identity/proxy-sidecar-port";

/// On the pod, written by the webhook: the injected identity, by which a later call distinguishes injected
/// values from the user's own. Upstream does not know it.
pub const INJECTED: &str = "azure.workload.identity/injected";

/// On the pod: client ids by object id or resource id, as `ID=CLIENT_ID` separated by `;` or `,`, for
/// applications that select an identity by such an id. Upstream does not know it.
pub const IDENTITY_MAP: &str = "azure.workload.identity/identity-map";

/// On the pod: the CPU limit of the injected containers, such as `100m`. Upstream does not know it.
pub const PROXY_CPU_LIMIT: &str = "azure.workload.identity/proxy-cpu-limit";

/// On the pod: the CPU request of the injected containers. Upstream does not know it.
pub const PROXY_CPU_REQUEST: &str = "azure.workload.identity/proxy-cpu-request";

/// On the pod: the memory limit of the injected containers, such as `64Mi`. Upstream does not know it.
pub const PROXY_MEMORY_LIMIT: &str = "azure.workload.identity/proxy-memory-limit";

/// On the pod: the memory request of the injected containers. Upstream does not know it.
pub const PROXY_MEMORY_REQUEST: &str = "azure.workload.identity/proxy-memory-request";

/// On the pod: the limit of the injected containers for files and logs, such as `512Mi`. Upstream does not
/// know it.
pub const PROXY_EPHEMERAL_STORAGE_LIMIT: &str =
    "azure.workload.identity/proxy-ephemeral-storage-limit";

/// On the pod: the request of the injected containers for files and logs. Upstream does not know it.
pub const PROXY_EPHEMERAL_STORAGE_REQUEST: &str =
    "azure.workload.identity/proxy-ephemeral-storage-request";
