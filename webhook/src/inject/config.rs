//! What the operator decides for all pods.

use std::collections::BTreeMap;
use std::ops::Deref;

pub use contract::value::ProxyMode as Mode;

use super::resources::Resources;
use super::seccomp::SeccompProfile;
use super::sidecar::Frames;

/// The cluster's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The audience of the projected token.
    pub audience: String,
    /// The Entra authority, with a trailing slash.
    pub authority_host: String,
    /// The tenant, unless the service account names another.
    pub tenant_id: String,
    /// The injected containers.
    pub sidecar: Sidecar,
    /// Identity bindings, when configured.
    pub bindings: Option<Bindings>,
}

/// The cluster's settings, and what is rendered from them once for all pods.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    pub(super) frames: Frames,
}

impl From<Config> for Prepared {
    fn from(config: Config) -> Self {
        let frames = Frames::usual(&config.sidecar);
        Self { config, frames }
    }
}

impl Deref for Prepared {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

/// How the injected containers look.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The image of `azwi-proxy`.
    pub image: String,
    /// The image of `azwi-proxy-init`.
    pub init_image: String,
    /// `imagePullPolicy` of both.
    pub pull_policy: String,
    /// How applications find the proxy, unless the pod says.
    pub mode: Mode,
    /// `--log-level` of `azwi-proxy`.
    pub log_level: String,
    /// The port of `azwi-proxy` for metrics, if it has one.
    pub metrics_port: Option<u16>,
    /// Whether `azwi-proxy` is an init container that keeps running (KEP-753).
    pub native: bool,
    /// `resources` of `azwi-proxy`.
    pub resources: Resources,
    /// Whether `azwi-proxy-init` has NET_RAW besides NET_ADMIN: `iptables-legacy` needs it.
    pub init_net_raw: bool,
    /// `resources` of `azwi-proxy-init`.
    pub init_resources: Resources,
    /// `seccompProfile` of `azwi-proxy`.
    pub seccomp_profile: SeccompProfile,
    /// Variables of `azwi-proxy` besides the identity's: its trusted certificates, its way out.
    pub environment: Vec<(&'static str, String)>,
}

/// Identity bindings: pods that ask for them exchange their token at the cluster's token proxy.
#[derive(Clone, Debug)]
pub struct Bindings {
    /// The pod annotation that asks for them, `azure.workload.identity/use-<suffix>`.
    pub annotation: String,
    /// The audience of the projected token of such pods.
    pub audience: String,
    /// What their containers get besides the usual variables.
    pub environment: Vec<(&'static str, String)>,
    /// Where the token proxy's certificate authority is projected from.
    pub ca: Option<CaSource>,
}

/// An object with a certificate authority that every namespace can see.
#[derive(Clone, Debug)]
pub enum CaSource {
    /// A ClusterTrustBundle (KEP-3257).
    ClusterTrustBundle {
        /// The labels that select it.
        labels: BTreeMap<String, String>,
        /// Its signer.
        signer_name: String,
    },
    /// A ConfigMap of this name in the pod's namespace, key `ca.crt`.
    ConfigMap(String),
}
