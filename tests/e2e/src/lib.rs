//! What the end-to-end tests share. They run on the test node, which `make test` starts: there
//! `kubectl` is an administrator, the chart is installed, and Azure is emulated.

mod audit;
pub mod authority;
mod azure;
pub mod client;
mod debug;
mod flags;
pub mod hammer;
mod installed;
mod load;
mod namespace;
mod other_webhook;
pub mod page;
mod pod;
pub mod program;
mod seccomp;
mod secret;
pub mod sidecar;
pub mod task;
mod token;
mod user;

pub use audit::{WEBHOOK_USER, audit_of, audited};
pub use azure::{Identity, control};
pub use flags::{flags_of, restart_with};
pub use installed::{
    CONFIGURATION, DEPLOYMENT, SECRET, SYSTEM_NAMESPACE, configuration_of_the_chart, container_id,
    helm_upgrade, metrics, replicas, restart_api_server, system, system_json, until,
};
pub use load::{Load, Tally, create_at_once};
pub use namespace::{Finished, Namespace};
pub use other_webhook::{Change, install_other_webhook};
pub use pod::{ASK_IMDS, Container, Pod};
pub use seccomp::seccomp_profile;
pub use secret::{Writer, find_secret, shows_access_token};
pub use sidecar::{in_plain_form, plain_proxy, redirect, redirect_rights};
pub use testkit::kubectl::{
    kubectl, kubectl_error, kubectl_json, kubectl_retrying, kubectl_with_input, list, try_kubectl,
};
pub use token::claims;
pub use user::User;

/// The tenant of the installed chart.
pub const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// The issuer of the node's service account tokens.
pub const ISSUER: &str = "https://oidc.cluster.example/11111111-2222-3333-4444-555555555555/";

/// The image of the proxy and proxy-init.
pub const PROXY_IMAGE: &str = concat!(
    "registry.example.com/azure-workload-identity/proxy:v",
    env!("CARGO_PKG_VERSION")
);
