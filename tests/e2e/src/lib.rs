//! What the end-to-end tests share. They run inside the test node (`make test` starts it), where
//! `kubectl` is its admin, the chart is installed and Azure is emulated.

mod azure;
mod debug;
mod kubectl;
mod namespace;
mod pod;
mod secret;

pub use azure::{Identity, control};
pub use kubectl::{kubectl, kubectl_error, kubectl_with_input};
pub use namespace::{Finished, Namespace};
pub use pod::{Container, Pod};
pub use secret::{Writer, find_secret, shows_access_token};

/// The tenant that the chart is installed for.
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// The issuer of the node's service account tokens.
pub const ISSUER: &str = "https://oidc.cluster.example/11111111-2222-3333-4444-555555555555/";

/// The image that holds the proxy and proxy-init.
pub const PROXY_IMAGE: &str = concat!(
    "registry.example.com/azure-workload-identity/proxy:v",
    env!("CARGO_PKG_VERSION")
);
