//! The injected containers.

/// The init container's name.
pub const PROXY_INIT: &str = "azwi-proxy-init";

/// The sidecar's name.
pub const PROXY: &str = "azwi-proxy";

/// The user and group of the proxy. Only its connections are exempt from the redirect, so no other
/// container may run as this user.
pub const PROXY_UID: u32 = 1501;
