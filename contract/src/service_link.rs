//! Variables that Kubernetes sets for the Services of a namespace.

/// Whether `value` is the address of a Service, and not a port from a setting.
///
/// Where a pod has `enableServiceLinks`, which is the default, a Service called `metadata` sets
/// `METADATA_PORT=tcp://10.0.0.5:80` in all containers of its namespace. The scheme is the protocol
/// of the Service's port: `TCP`, `UDP` or `SCTP` (kubernetes.io, "Service", "Discovering services",
/// "Environment variables").
///
/// # Examples
///
/// ```
/// use contract::service_link::is_service_link;
///
/// assert!(is_service_link("tcp://10.0.0.5:80"));
/// assert!(!is_service_link("8000"));
/// ```
#[must_use]
pub fn is_service_link(value: &str) -> bool {
    let value = value.trim_start();
    SCHEMES.iter().any(|scheme| value.starts_with(scheme))
}

const SCHEMES: [&str; 3] = ["tcp://", "udp://", "sctp://"];
