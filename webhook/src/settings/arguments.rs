//! The flags, with their types, variables and defaults.

use std::path::PathBuf;

use clap::Parser;
use contract::log::{LogFormat, LogLevel};
use contract::token;
use contract::value::{
    Authority, EgressProxy, LingerSeconds, NoProxy, ProxyMode, RelayPolicy, Toggle,
};
use service_kit::settings::Setting;

use super::values::{
    GoBool, ListenAddress, MaxConnections, MetricsAddress, MetricsBackend, PullPolicy,
};
use crate::certificate::tls::MinVersion;
use crate::inject::{Resources, SeccompProfile};
use crate::version::NativeSidecar;

/// The mutating admission webhook of Azure workload identity for Kubernetes.
///
/// Each flag can be given as a variable instead: --native-sidecar is AZWI_NATIVE_SIDECAR.
#[derive(Debug, Parser)]
#[command(name = "webhook", version = contract::VERSION, args_override_self = true, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Audience of the projected token; sovereign clouds have others
    #[arg(long, env = "AZWI_AUDIENCE", default_value = token::DEFAULT_AUDIENCE)]
    pub(super) audience: Setting<String>,
    /// Entra authority, https only [that of AZURE_ENVIRONMENT]
    #[arg(long, env = "AZWI_AUTHORITY_HOST", value_name = "URL")]
    pub(super) authority_host: Option<Setting<Authority>>,
    /// Pods with annotation azure.workload.identity/use-<SUFFIX>: "true" get identity bindings
    #[arg(
        long,
        env = "AZWI_CUSTOM_TOKEN_ENDPOINT_ANNOTATION_SUFFIX",
        value_name = "SUFFIX"
    )]
    pub(super) custom_token_endpoint_annotation_suffix: Option<Setting<String>>,
    /// Audience of the tokens of these pods; set both flags or neither
    #[arg(
        long,
        env = "AZWI_CUSTOM_TOKEN_ENDPOINT_AUDIENCE",
        value_name = "AUDIENCE"
    )]
    pub(super) custom_token_endpoint_audience: Option<Setting<String>>,
    /// Serve with tls.crt and tls.key of --webhook-cert-dir, which cert-manager or another program renews
    #[arg(long, env = "AZWI_DISABLE_CERT_ROTATION", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    pub(super) disable_cert_rotation: Setting<GoBool>,
    /// Address of /healthz and /readyz
    #[arg(
        long,
        env = "AZWI_HEALTH_ADDR",
        value_name = "ADDRESS",
        default_value = ":9440"
    )]
    pub(super) health_addr: Setting<ListenAddress>,
    /// File with the API server's address and credentials, outside of a cluster
    #[arg(long, env = "AZWI_KUBECONFIG", value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Log format: json or text
    #[arg(
        long,
        env = "AZWI_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    pub(super) log_format: Setting<LogFormat>,
    /// Log level: error, warn, info, debug, trace or all
    #[arg(
        long,
        env = "AZWI_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub(super) log_level: Setting<LogLevel>,
    /// Maximum number of open connections from API servers; a further one closes the oldest idle one
    #[arg(
        long,
        env = "AZWI_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "1024"
    )]
    pub(super) max_connections: Setting<MaxConnections>,
    /// Address of /metrics, 0 for none
    #[arg(
        long,
        env = "AZWI_METRICS_ADDR",
        value_name = "ADDRESS",
        default_value = ":8095"
    )]
    pub(super) metrics_addr: Setting<MetricsAddress>,
    /// Backend of the metrics; only prometheus is supported
    #[arg(
        long,
        env = "AZWI_METRICS_BACKEND",
        value_name = "NAME",
        default_value = "prometheus"
    )]
    pub(super) metrics_backend: Setting<MetricsBackend>,
    /// Record durations by namespace, with 37 series for each
    #[arg(long, env = "AZWI_METRICS_NAMESPACE_LABEL", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    pub(super) metrics_namespace_label: Setting<GoBool>,
    /// Inject the proxy as a native sidecar: on, off, or auto (API server 1.32 or newer; a version
    /// that cannot be read counts as older, and is logged)
    #[arg(
        long,
        env = "AZWI_NATIVE_SIDECAR",
        value_name = "MODE",
        default_value = "auto"
    )]
    pub(super) native_sidecar: Setting<NativeSidecar>,
    /// Port of the admission listener
    #[arg(long, env = "AZWI_PORT", default_value = "9443")]
    pub(super) port: Setting<u16>,
    /// File with certificates (PEM) that the proxies trust besides the public roots; read again when
    /// it changes
    #[arg(long, env = "AZWI_PROXY_CA_FILE", value_name = "FILE")]
    pub(super) proxy_ca_file: Option<PathBuf>,
    /// HTTPS_PROXY of the proxies
    #[arg(long, env = "AZWI_PROXY_HTTPS_PROXY", value_name = "URL")]
    pub(super) proxy_https_proxy: Option<Setting<EgressProxy>>,
    /// Image pull policy of the injected containers
    #[arg(
        long,
        env = "AZWI_PROXY_IMAGE_PULL_POLICY",
        value_name = "POLICY",
        default_value = "IfNotPresent"
    )]
    pub(super) proxy_image_pull_policy: Setting<PullPolicy>,
    /// Give azwi-proxy-init NET_RAW besides NET_ADMIN: iptables-legacy needs it, where nodes have no
    /// nf_tables and the image has iptables
    #[arg(long, env = "AZWI_PROXY_INIT_NET_RAW", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    pub(super) proxy_init_net_raw: Setting<GoBool>,
    /// Resources of azwi-proxy-init, as JSON: {"requests": {…}, "limits": {…}} [2m CPU, 8Mi, at
    /// most 32Mi; 1Mi of ephemeral storage, at most 256Mi]
    #[arg(long, env = "AZWI_PROXY_INIT_RESOURCES", value_name = "JSON", default_value = PROXY_INIT_RESOURCES, hide_default_value = true)]
    pub(super) proxy_init_resources: Setting<Resources>,
    /// Seconds without a request after which a proxy that is a plain container ends with its pod [5]
    #[arg(long, env = "AZWI_PROXY_LINGER_SECONDS", value_name = "SECONDS")]
    pub(super) proxy_linger_seconds: Option<Setting<LingerSeconds>>,
    /// Log level of the proxies [that of the webhook]
    #[arg(long, env = "AZWI_PROXY_LOG_LEVEL", value_name = "LEVEL")]
    pub(super) proxy_log_level: Option<Setting<LogLevel>>,
    /// Whether the proxies answer as IMDS on 127.0.0.1 itself in mode redirect: on or off. kubectl
    /// port-forward asks there too [off]
    #[arg(long, env = "AZWI_PROXY_LOOPBACK", value_name = "ON|OFF")]
    pub(super) proxy_loopback: Option<Setting<Toggle>>,
    /// Port of the proxies for Prometheus metrics at /metrics, on all addresses of the pod; 0 for none.
    /// Pods on the node's network have none
    #[arg(
        long,
        env = "AZWI_PROXY_METRICS_PORT",
        value_name = "PORT",
        default_value = "0"
    )]
    pub(super) proxy_metrics_port: Setting<u16>,
    /// How applications reach the proxy unless the pod's annotation sets it: redirect or environment
    /// (variables alone, without a privileged init container)
    #[arg(
        long,
        env = "AZWI_PROXY_MODE",
        value_name = "MODE",
        default_value = "redirect"
    )]
    pub(super) proxy_mode: Setting<ProxyMode>,
    /// NO_PROXY of the proxies
    #[arg(long, env = "AZWI_PROXY_NO_PROXY", value_name = "LIST")]
    pub(super) proxy_no_proxy: Option<Setting<NoProxy>>,
    /// Whether containers may end a proxy that is a plain container with POST /quitquitquit unless the pod's
    /// annotation says: on or off
    #[arg(
        long,
        env = "AZWI_PROXY_QUIT",
        value_name = "ON|OFF",
        default_value = "off"
    )]
    pub(super) proxy_quit: Setting<Toggle>,
    /// Requests that the proxies relay to the real IMDS: allow (all), deny (none), or path prefixes
    /// separated by commas [allow]
    #[arg(long, env = "AZWI_PROXY_RELAY", value_name = "POLICY")]
    pub(super) proxy_relay: Option<Setting<RelayPolicy>>,
    /// Resources of azwi-proxy, as JSON: {"requests": {…}, "limits": {…}} [2m CPU, 8Mi, at most
    /// 64Mi; 1Mi of ephemeral storage, at most 256Mi]
    #[arg(long, env = "AZWI_PROXY_RESOURCES", value_name = "JSON", default_value = PROXY_RESOURCES, hide_default_value = true)]
    pub(super) proxy_resources: Setting<Resources>,
    /// Seccomp profile of azwi-proxy: runtime/default, or localhost/ and a file below the kubelet's
    /// folder of profiles
    #[arg(
        long,
        env = "AZWI_PROXY_SECCOMP_PROFILE",
        value_name = "PROFILE",
        default_value = "runtime/default"
    )]
    pub(super) proxy_seccomp_profile: Setting<SeccompProfile>,
    /// Oldest TLS version of the admission listener: 1.2 or 1.3
    #[arg(
        long,
        env = "AZWI_TLS_MIN_VERSION",
        value_name = "VERSION",
        default_value = "1.3"
    )]
    pub(super) tls_min_version: Setting<MinVersion>,
    /// Directory of the certificate with --disable-cert-rotation
    #[arg(
        long,
        env = "AZWI_WEBHOOK_CERT_DIR",
        value_name = "DIRECTORY",
        default_value = "/certs"
    )]
    pub(super) webhook_cert_dir: PathBuf,
}

const AFTER_HELP: &str = "\
Variables without a flag:
  AZURE_TENANT_ID             required: the tenant of pods whose service account names none
  PROXY_IMAGE                 required: the image of azwi-proxy
  PROXY_INIT_IMAGE            the image of azwi-proxy-init, by default that of azwi-proxy
  AZURE_ENVIRONMENT           the cloud, by default AzurePublicCloud
  AZURE_ENVIRONMENT_FILEPATH  the description of AzureStackCloud
  POD_NAMESPACE               the namespace of the Secret, by default azure-workload-identity-system
  KUBECONFIG                  files as in --kubeconfig, if that is absent
  AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_SNI_NAME, AZURE_KUBERNETES_CA_DATA,
  AZURE_KUBERNETES_CA_CONFIGMAP_NAME, AZURE_KUBERNETES_CA_CTB_SIGNER_NAME,
  AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR
                              identity bindings: the token proxy, and one way to trust it

Exit codes:
  0   ended by a signal
  1   failed; the log states the reason
  64  the configuration is wrong; all mistakes are listed";

/// Requests: the memory of an idle proxy is some 4 MiB, with many tokens 5 MiB, and it uses next to no CPU
/// time. Ephemeral storage holds the log alone. Without a limit, a LimitRange sets one, and the kubelet evicts
/// a pod whose container exceeds it. The kubelet keeps 5 files of 10 MiB of a container's log, on AKS of
/// 50 MB.
const PROXY_RESOURCES: &str = r#"{"limits":{"memory":"64Mi","ephemeral-storage":"256Mi"},"requests":{"cpu":"2m","memory":"8Mi","ephemeral-storage":"1Mi"}}"#;
const PROXY_INIT_RESOURCES: &str = r#"{"limits":{"memory":"32Mi","ephemeral-storage":"256Mi"},"requests":{"cpu":"2m","memory":"8Mi","ephemeral-storage":"1Mi"}}"#;
