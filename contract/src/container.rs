//! The injected containers.

/// The init container's name.
pub const PROXY_INIT: &str = "azwi-proxy-init";

/// The sidecar's name.
pub const PROXY: &str = "azwi-proxy";

/// The user and group that the proxy runs as. Its traffic alone is exempt from the redirect, so
/// no container of the user's may run as it.
pub const PROXY_UID: u32 = 1501;
