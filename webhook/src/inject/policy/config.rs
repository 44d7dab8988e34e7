//! The operator's settings for all pods.

use contract::value::LingerSeconds;
pub use contract::value::ProxyMode as Mode;

use super::label_selector::LabelSelector;
use super::resources::Resources;
use super::seccomp::SeccompProfile;

/// The cluster's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The audience of the projected token.
    pub audience: String,
    /// The Entra authority, with a trailing slash.
    pub authority_host: String,
    /// The tenant for service accounts without an annotation.
    pub tenant_id: String,
    /// Settings of the injected containers.
    pub sidecar: Sidecar,
    /// Identity bindings, when configured.
    pub bindings: Option<Bindings>,
}

/// What the Pod Security level of the pod's namespace is known to refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodSecurity {
    /// The API server does not say.
    #[default]
    Unknown,
    /// The namespace enforces `baseline` or `restricted`: the init container of mode `redirect` is refused.
    RefusesNetAdmin,
}

/// Settings of the injected containers.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The image of `azwi-proxy`.
    pub image: String,
    /// The image of `azwi-proxy-init`.
    pub init_image: String,
    /// `imagePullPolicy` of both.
    pub pull_policy: String,
    /// Seconds without a request after which a plain `azwi-proxy` ends, in pods without annotation
    /// `proxy-linger-seconds`; its own default without a value.
    pub linger_seconds: Option<LingerSeconds>,
    /// The mode of pods without annotation `proxy-mode`.
    pub mode: Mode,
    /// `--log-level` of `azwi-proxy`.
    pub log_level: String,
    /// The port of `azwi-proxy` for metrics, none without metrics.
    pub metrics_port: Option<u16>,
    /// Whether `azwi-proxy` is an init container that keeps running (KEP-753).
    pub native: bool,
    /// `resources` of `azwi-proxy`.
    pub resources: Resources,
    /// Whether containers may end a plain `azwi-proxy`, in pods without annotation `proxy-quit`.
    pub quit: bool,
    /// Whether `azwi-proxy-init` gets NET_RAW as well as NET_ADMIN, for `iptables-legacy`.
    pub init_net_raw: bool,
    /// `resources` of `azwi-proxy-init`.
    pub init_resources: Resources,
    /// `seccompProfile` of `azwi-proxy`.
    pub seccomp_profile: SeccompProfile,
    /// Variables of `azwi-proxy` besides the identity's, such as trusted certificates and the egress
    /// proxy.
    pub environment: Vec<(&'static str, String)>,
}

/// Identity bindings: pods with the annotation exchange their token at the cluster's token proxy.
#[derive(Clone, Debug)]
pub struct Bindings {
    /// The pod annotation that turns them on, `azure.workload.identity/use-<suffix>`.
    pub annotation: String,
    /// The audience of the projected token of such pods.
    pub audience: String,
    /// Variables of their containers besides the usual ones.
    pub environment: Vec<(&'static str, String)>,
    /// The source of the token proxy's certificate authority, none for publicly trusted ones.
    pub ca: Option<CaSource>,
}

/// An object with a certificate authority that pods of every namespace can mount.
#[derive(Clone, Debug)]
pub enum CaSource {
    /// A ClusterTrustBundle (KEP-3257).
    ClusterTrustBundle {
        /// Selects the bundle.
        selector: LabelSelector,
        /// The bundle's `signerName`.
        signer_name: String,
    },
    /// A ConfigMap of this name in the pod's namespace, key `ca.crt`.
    ConfigMap(String),
}
