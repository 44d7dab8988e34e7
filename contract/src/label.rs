//! Labels on pods, service accounts and namespaces.

/// On the pod, value `"true"`: the webhook acts on this pod.
pub const USE: &str = "azure.workload.identity/use";

/// On the namespace, Kubernetes' own: the Pod Security level that it enforces (KEP-2579).
pub const POD_SECURITY_ENFORCE: &str = "pod-security.kubernetes.io/enforce";
