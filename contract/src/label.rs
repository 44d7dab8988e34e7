//! Labels on pods and service accounts.

/// On the pod, value `"true"`: the webhook acts on this pod.
pub const USE: &str = "azure.workload.identity/use";
