//! The flags. Their values are read by the parent module, which finds all mistakes.

use clap::Parser;

/// The mutating admission webhook of Azure workload identity for Kubernetes.
///
/// Each flag can be given as a variable instead: --native-sidecar is AZWI_NATIVE_SIDECAR.
#[derive(Debug, Parser)]
#[command(name = "webhook", version = contract::VERSION, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Audience of the projected token; sovereign clouds have others [api://AzureADTokenExchange]
    #[arg(long)]
    pub(super) audience: Option<String>,
    /// Entra authority, https only [that of AZURE_ENVIRONMENT]
    #[arg(long, value_name = "URL")]
    pub(super) authority_host: Option<String>,
    /// Pods with annotation azure.workload.identity/use-<SUFFIX>: "true" get identity bindings
    #[arg(long, value_name = "SUFFIX")]
    pub(super) custom_token_endpoint_annotation_suffix: Option<String>,
    /// Audience of those pods' tokens; both flags or neither
    #[arg(long, value_name = "AUDIENCE")]
    pub(super) custom_token_endpoint_audience: Option<String>,
    /// Serve with tls.crt and tls.key of --webhook-cert-dir, which somebody else renews [false]
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
    /// Connections of API servers that are open at most; for one more the oldest idle one is closed [1024]
    #[arg(long, value_name = "NUMBER")]
    pub(super) max_connections: Option<String>,
    /// Address of /metrics, 0 for none [:8095]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) metrics_addr: Option<String>,
    /// Only prometheus is known [prometheus]
    #[arg(long, value_name = "NAME")]
    pub(super) metrics_backend: Option<String>,
    /// Tell durations apart by namespace: 37 series each [true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) metrics_namespace_label: Option<String>,
    /// Inject the proxy as a native sidecar: on, off, or auto (API server 1.32 or newer; a version
    /// that cannot be read counts as older, and is told) [auto]
    #[arg(long, value_name = "MODE")]
    pub(super) native_sidecar: Option<String>,
    /// Port of the admission listener [9443]
    #[arg(long)]
    pub(super) port: Option<String>,
    /// File with certificates (PEM) that the proxies trust besides the public roots; read again when
    /// it changes
    #[arg(long, value_name = "FILE")]
    pub(super) proxy_ca_file: Option<String>,
    /// HTTPS_PROXY of the proxies
    #[arg(long, value_name = "URL")]
    pub(super) proxy_https_proxy: Option<String>,
    /// Image pull policy of the injected containers [IfNotPresent]
    #[arg(long, value_name = "POLICY")]
    pub(super) proxy_image_pull_policy: Option<String>,
    /// Give azwi-proxy-init NET_RAW besides NET_ADMIN: iptables-legacy needs it, where nodes have no
    /// nf_tables and the image has iptables [false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) proxy_init_net_raw: Option<String>,
    /// Resources of azwi-proxy-init, as JSON: {"requests": {…}, "limits": {…}} [10m CPU, 8Mi, at most
    /// 32Mi]
    #[arg(long, value_name = "JSON")]
    pub(super) proxy_init_resources: Option<String>,
    /// Log level of the proxies [that of the webhook]
    #[arg(long, value_name = "LEVEL")]
    pub(super) proxy_log_level: Option<String>,
    /// Port of the proxies for Prometheus metrics at /metrics, on all addresses of the pod; 0 for none.
    /// Pods on the node's network have none [0]
    #[arg(long, value_name = "PORT")]
    pub(super) proxy_metrics_port: Option<String>,
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
    /// Resources of azwi-proxy, as JSON: {"requests": {…}, "limits": {…}} [10m CPU, 16Mi, at most
    /// 64Mi]
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

const AFTER_HELP: &str = "\
Variables without a flag:
  AZURE_TENANT_ID             required: the tenant of pods whose service account names none
  PROXY_IMAGE                 required: the image of azwi-proxy
  PROXY_INIT_IMAGE            the image of azwi-proxy-init, the same unless set
  AZURE_ENVIRONMENT           the cloud, AzurePublicCloud unless set
  AZURE_ENVIRONMENT_FILEPATH  the description of AzureStackCloud
  POD_NAMESPACE               where the Secret is, azure-workload-identity-system unless set
  KUBECONFIG                  the API server, outside of a cluster
  AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_SNI_NAME, AZURE_KUBERNETES_CA_DATA,
  AZURE_KUBERNETES_CA_CONFIGMAP_NAME, AZURE_KUBERNETES_CA_CTB_SIGNER_NAME,
  AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR
                              identity bindings: the token proxy, and one way to trust it

Exit codes:
  0   ended as it was told
  1   it cannot go on; the log says why
  64  the configuration is wrong; all mistakes are listed";
