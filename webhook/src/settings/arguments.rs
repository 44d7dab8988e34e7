//! The flags. Their values are read by the parent module, which finds all mistakes.

use clap::Parser;

/// The mutating admission webhook of Azure workload identity for Kubernetes.
///
/// Each flag can be given as a variable instead: --native-sidecar is AZWI_NATIVE_SIDECAR. The
/// tenant and the images are variables alone, as in the peer: AZURE_TENANT_ID (required),
/// PROXY_IMAGE (required), PROXY_INIT_IMAGE (the same image unless set), AZURE_ENVIRONMENT,
/// AZURE_ENVIRONMENT_FILEPATH, POD_NAMESPACE and AZURE_KUBERNETES_*. Outside a cluster, KUBECONFIG
/// names the API server.
#[derive(Debug, Parser)]
#[command(name = "webhook", version = contract::VERSION)]
pub(super) struct Arguments {
    /// Audience of the projected token [api://AzureADTokenExchange]
    #[arg(long)]
    pub(super) audience: Option<String>,
    /// Entra authority, https only, instead of the one that AZURE_ENVIRONMENT names
    #[arg(long, value_name = "URL")]
    pub(super) authority_host: Option<String>,
    /// Pods with annotation azure.workload.identity/use-<SUFFIX>: "true" get identity bindings
    #[arg(long, value_name = "SUFFIX")]
    pub(super) custom_token_endpoint_annotation_suffix: Option<String>,
    /// Audience of the projected token of pods with identity bindings
    #[arg(long, value_name = "AUDIENCE")]
    pub(super) custom_token_endpoint_audience: Option<String>,
    /// Serve with tls.crt and tls.key of --webhook-cert-dir, which somebody else renews
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) disable_cert_rotation: Option<String>,
    /// Address of /healthz and /readyz [:9440]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) health_addr: Option<String>,
    /// Log format: json or text [json]
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,
    /// Log level: error, warn, info, debug, trace or all [info]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
    /// Connections of API servers that are open at most [1024]
    #[arg(long, value_name = "NUMBER")]
    pub(super) max_connections: Option<String>,
    /// Address of /metrics, 0 for none [:8095]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) metrics_addr: Option<String>,
    /// Only prometheus is known
    #[arg(long, value_name = "NAME")]
    pub(super) metrics_backend: Option<String>,
    /// Tell durations apart by namespace [true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) metrics_namespace_label: Option<String>,
    /// Inject the proxy as a native sidecar: auto (API server 1.32 or newer), on or off [auto]
    #[arg(long, value_name = "MODE")]
    pub(super) native_sidecar: Option<String>,
    /// Port of the admission listener [9443]
    #[arg(long)]
    pub(super) port: Option<String>,
    /// File with certificates (PEM) that the proxies trust besides the public roots
    #[arg(long, value_name = "FILE")]
    pub(super) proxy_ca_file: Option<String>,
    /// HTTPS_PROXY of the proxies
    #[arg(long, value_name = "URL")]
    pub(super) proxy_https_proxy: Option<String>,
    /// Image pull policy of the injected containers [IfNotPresent]
    #[arg(long, value_name = "POLICY")]
    pub(super) proxy_image_pull_policy: Option<String>,
    /// Give azwi-proxy-init NET_RAW besides NET_ADMIN: iptables-legacy needs it, where nodes have no
    /// nf_tables and the image has iptables
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) proxy_init_net_raw: Option<String>,
    /// Resources of azwi-proxy-init, as JSON: {"requests": {…}, "limits": {…}}
    #[arg(long, value_name = "JSON")]
    pub(super) proxy_init_resources: Option<String>,
    /// Log level of the proxies [that of the webhook]
    #[arg(long, value_name = "LEVEL")]
    pub(super) proxy_log_level: Option<String>,
    /// How applications find the proxy, unless the pod's annotation says: redirect or environment
    /// (variables alone, without a privileged init container) [redirect]
    #[arg(long, value_name = "MODE")]
    pub(super) proxy_mode: Option<String>,
    /// NO_PROXY of the proxies
    #[arg(long, value_name = "LIST")]
    pub(super) proxy_no_proxy: Option<String>,
    /// What the proxies relay to the real IMDS: allow, deny, or path prefixes split by commas [allow]
    #[arg(long, value_name = "POLICY")]
    pub(super) proxy_relay: Option<String>,
    /// Resources of azwi-proxy, as JSON: {"requests": {…}, "limits": {…}}
    #[arg(long, value_name = "JSON")]
    pub(super) proxy_resources: Option<String>,
    /// Seccomp profile of azwi-proxy: runtime/default, or localhost/ and a file below the kubelet's
    /// folder of profiles [runtime/default]
    #[arg(long, value_name = "PROFILE")]
    pub(super) proxy_seccomp_profile: Option<String>,
    /// Oldest TLS version of the admission listener: 1.2 or 1.3 [1.3]
    #[arg(long, value_name = "VERSION")]
    pub(super) tls_min_version: Option<String>,
    /// Directory of the certificate with --disable-cert-rotation [/certs]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) webhook_cert_dir: Option<String>,
}
