//! The command line and the environment of the proxy.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser};
use contract::app_service::MIN_SECRET_LENGTH;
use contract::log::{LogFormat, LogLevel};
use contract::value::{
    Authority, CaData, Guid, IdentityMap, Prefetch, RelayKey, ServerName, ServicePort, Shutdown,
    Tenant, Toggle, TokenProxy, Verify,
};
use contract::{metadata, variable};
pub use service_kit::settings::UsageError;
use service_kit::settings::{self, Mistakes, Setting};
use thiserror::Error;

use crate::api::app_service::Secret;
use crate::config::Config;
use crate::entra::{Binding, Egress, Roots, Settings};
use crate::identity::Identities;
use crate::relay::Policy;
use crate::{api, entra, relay, startup};

/// The command to run.
#[derive(Debug)]
pub enum Command {
    /// Check whether a running proxy is ready.
    Probe {
        /// The proxy's port.
        port: u16,
        /// How long to repeat the check until the proxy is ready.
        timeout: Duration,
    },
    /// Serve.
    Serve(Box<Config>),
}

impl Command {
    /// Reads the command line, and environment variables through `variable`.
    ///
    /// # Errors
    ///
    /// All mistakes in values together, or an unknown flag.
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, UsageError> {
        let args: Args = settings::parse(args, &variable)?;
        let mut mistakes = Mistakes::default();
        let command = if args.probe {
            args.probe_command(&mut mistakes)
        } else {
            let config = args.config(&mut mistakes, variable);
            config.map(|config| Self::Serve(Box::new(config)))
        };
        Ok(mistakes.finish(command)?)
    }
}

/// Answers as the Azure Instance Metadata Service does, with Microsoft Entra Workload ID tokens.
///
/// Runs beside an application in a pod. The webhook sets the AZURE_ variables in pods with the
/// label azure.workload.identity/use: "true". Flags may be written with one dash.
#[derive(Debug, Parser)]
#[command(
    name = "proxy",
    version = contract::VERSION,
    disable_version_flag = true,
    args_override_self = true,
    after_help = AFTER_HELP
)]
struct Args {
    /// Port to listen on, on 127.0.0.1
    #[arg(long, env = "AZWI_PROXY_PORT", value_name = "PORT", default_value_t = Setting::of(&metadata::DEFAULT_PROXY_PORT))]
    proxy_port: Setting<ServicePort>,
    /// Ask the proxy on that port whether it is ready, and exit with 0 if it is
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    probe: bool,
    /// How long --probe keeps trying, in seconds
    #[arg(
        long,
        env = "AZWI_PROBE_TIMEOUT",
        value_name = "SECONDS",
        default_value = "60"
    )]
    probe_timeout: Setting<ProbeTimeout>,
    /// error, warn, info, debug, trace or all
    #[arg(long, env = "AZWI_LOG_LEVEL", value_name = "LEVEL", default_value_t = Setting::of(&LogLevel::default()))]
    log_level: Setting<LogLevel>,
    /// json or text
    #[arg(
        long,
        env = "AZWI_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    log_format: Setting<LogFormat>,
    /// Tenant of the identity: a GUID or a domain
    #[arg(long, env = variable::TENANT_ID, value_name = "TENANT")]
    tenant_id: Option<Setting<Tenant>>,
    /// Client id of the identity for requests that select none
    #[arg(long, env = variable::CLIENT_ID, value_name = "GUID")]
    client_id: Option<Setting<Guid>>,
    /// File with the projected service account token; read for every exchange
    #[arg(long, env = variable::FEDERATED_TOKEN_FILE, value_name = "FILE")]
    federated_token_file: Option<PathBuf>,
    /// Entra authority, an https URL; the public cloud is at login.microsoftonline.com
    #[arg(long, env = variable::AUTHORITY_HOST, value_name = "URL")]
    authority_host: Option<Setting<Authority>>,
    /// Client ids for requests by object id or resource id: ID=CLIENT_ID, separated by ; or ,
    #[arg(long, env = variable::IDENTITY_MAP, value_name = "MAP")]
    identity_map: Option<Setting<IdentityMap>>,
    /// Whether to answer as IMDS does: on, or off where other pods can reach the port (on the node's
    /// network). With off, App Service's endpoint, which requires a secret, is the only one
    #[arg(long, env = variable::IMDS, value_name = "ON|OFF", default_value = "on")]
    imds: Setting<Toggle>,
    /// Whether to answer as IMDS on 127.0.0.1 itself, not only behind the redirect: on or off. kubectl
    /// port-forward asks there too [on with AZWI_IDENTITY_HEADER, else off]
    #[arg(long, env = variable::LOOPBACK, value_name = "ON|OFF")]
    loopback: Option<Setting<Toggle>>,
    /// Requests to relay to the real IMDS: allow (all), deny (none), or path prefixes separated by
    /// commas. Paths under /metadata/identity are never relayed, the identity paths of other clouds
    /// only if they are listed
    #[arg(
        long,
        env = variable::RELAY,
        value_name = "POLICY",
        default_value = "allow"
    )]
    relay: Setting<Policy>,
    /// Address of the real IMDS
    #[arg(long, env = variable::METADATA_IP, value_name = "IP", default_value_t = Setting::of(&metadata::ADDRESS))]
    metadata_ip: Setting<IpAddr>,
    /// Port of the real IMDS
    #[arg(long, env = variable::METADATA_PORT, value_name = "PORT", default_value_t = Setting::of(&metadata::PORT))]
    metadata_port: Setting<ServicePort>,
    /// Port for Prometheus metrics at /metrics, on all addresses; 0 for none
    #[arg(
        long,
        env = variable::METRICS_PORT,
        value_name = "PORT",
        default_value = "0"
    )]
    metrics_port: Setting<u16>,
    /// Whether POST /quitquitquit ends the proxy, which a plain container in a Job needs: on or off
    #[arg(long, env = variable::QUIT, value_name = "ON|OFF", default_value = "off")]
    quit: Setting<Toggle>,
    /// Reaction to SIGTERM: seconds without a request to wait for, linger (5, for plain containers) or now
    /// (for native sidecars). A second signal always ends the proxy
    #[arg(
        long,
        env = variable::SHUTDOWN,
        value_name = "WAY",
        default_value = "linger"
    )]
    shutdown: Setting<Shutdown>,
    /// Resources, separated by commas and spelled as the application asks for them, whose tokens are in
    /// memory before the proxy is ready, if they come in 10 s
    #[arg(long, env = variable::PREFETCH, value_name = "RESOURCES")]
    prefetch: Option<Setting<Prefetch>>,
    /// Get a token before the proxy is ready. If none comes: warn after 10 s, or enforce, and exit with 77
    /// after 30 s
    #[arg(long, env = variable::VERIFY, value_name = "WARN|ENFORCE")]
    verify: Option<Setting<Verify>>,
    /// The secret that requests to App Service's endpoint must carry
    #[arg(long, env = variable::IDENTITY_HEADER, hide = true)]
    identity_header: Option<Secret>,
    /// The key with which connections to the real IMDS are announced to proxy-init
    #[arg(long, env = variable::RELAY_KEY, hide = true)]
    relay_key: Option<Setting<RelayKey>>,
    /// Certificate authorities besides the built-in ones, in PEM form
    #[arg(long, env = variable::CA_DATA, value_name = "PEM", hide = true)]
    ca_data: Option<Setting<CaData>>,
    /// Further certificate authorities
    #[arg(long, env = "SSL_CERT_FILE", hide = true)]
    ssl_cert_file: Option<PathBuf>,
    /// Further certificate authorities
    #[arg(long, env = "SSL_CERT_DIR", hide = true)]
    ssl_cert_dir: Option<OsString>,
    /// Identity bindings: the token proxy
    #[arg(long, env = variable::KUBERNETES_TOKEN_PROXY, hide = true)]
    kubernetes_token_proxy: Option<Setting<TokenProxy>>,
    /// Identity bindings: the name in its certificate
    #[arg(long, env = variable::KUBERNETES_SNI_NAME, hide = true)]
    kubernetes_sni_name: Option<Setting<ServerName>>,
    /// Identity bindings: the file with its certificate authority
    #[arg(long, env = variable::KUBERNETES_CA_FILE, hide = true)]
    kubernetes_ca_file: Option<PathBuf>,
    /// Identity bindings: its certificate authority
    #[arg(long, env = variable::KUBERNETES_CA_DATA, hide = true)]
    kubernetes_ca_data: Option<Setting<CaData>>,
    /// Print the version
    #[arg(long, action = ArgAction::Version)]
    version: (),
}

impl Args {
    fn probe_command(self, mistakes: &mut Mistakes) -> Option<Command> {
        let port = mistakes.read("--proxy-port", self.proxy_port);
        let timeout = mistakes.read("--probe-timeout", self.probe_timeout);
        Some(Command::Probe {
            port: port?.get(),
            timeout: timeout?.0,
        })
    }

    /// Reads all values before it fails, so that it reports all mistakes.
    fn config(
        mut self,
        mistakes: &mut Mistakes,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Option<Config> {
        let entra = self.entra(mistakes);
        let roots = self.roots(mistakes);
        let binding = self.binding(mistakes);
        let startup = self.startup(mistakes);
        let egress = match binding {
            // The token proxy is in the cluster.
            Some(Some(_)) => Some(None),
            _ => mistakes.keep(Egress::from_environment(variable)),
        };
        let app_service = self.secret(mistakes);
        let imds = mistakes.read("--imds", self.imds);
        if imds == Some(Toggle::Off) && app_service.is_none() {
            mistakes.add(format!(
                "--imds=off turns off the only endpoint: set {} too",
                variable::IDENTITY_HEADER
            ));
        }
        let loopback = match self.loopback.take() {
            Some(loopback) => mistakes.read("--loopback", loopback),
            // In mode `environment` SDKs ask there.
            None if app_service.is_some() => Some(Toggle::On),
            None => Some(Toggle::Off),
        };
        let identities = Identities {
            default: self.client_id.and_then(|id| {
                let advice = "correct the annotation azure.workload.identity/client-id of the service account";
                let id = mistakes.read_with_advice(variable::CLIENT_ID, id, advice)?;
                Some(id.to_string())
            }),
            by_id: self.identity_map.map_or_else(HashMap::new, |map| {
                let map = mistakes.read("--identity-map", map).unwrap_or_default();
                map.iter().map(|(id, client)| (id.to_owned(), client.to_string())).collect()
            }),
        };
        let log_format = mistakes.read("--log-format", self.log_format);
        let log_level = mistakes.read("--log-level", self.log_level);
        let metadata_ip = mistakes.read("--metadata-ip", self.metadata_ip);
        let metadata_port = mistakes.read("--metadata-port", self.metadata_port);
        let metrics_port = mistakes.read("--metrics-port", self.metrics_port);
        let port = mistakes.read("--proxy-port", self.proxy_port);
        let quit = mistakes.read("--quit", self.quit);
        let relay = mistakes.read("--relay", self.relay);
        let relay_key = self.relay_key.filter(|key| !key.text().is_empty());
        let relay_key = relay_key.and_then(|key| mistakes.read_secret(variable::RELAY_KEY, key));
        let shutdown = mistakes.read("--shutdown", self.shutdown);

        let (port, metrics_port) = (port?.get(), metrics_port?);
        if port == metrics_port {
            mistakes.add(format!("--proxy-port and --metrics-port are both {port}"));
        }
        Some(Config {
            api: api::Config {
                app_service,
                identities,
                imds: imds? == Toggle::On,
                loopback: loopback? == Toggle::On,
                quit: quit? == Toggle::On,
            },
            entra: entra::Config {
                binding: binding?,
                egress: egress?,
                roots,
                settings: entra?,
            },
            log_format: log_format?,
            log_level: log_level?,
            metrics_port: Some(metrics_port).filter(|port| *port != 0),
            port,
            relay: relay::Config {
                imds: SocketAddr::new(metadata_ip?, metadata_port?.get()),
                key: relay_key,
                policy: relay?,
            },
            shutdown: shutdown?,
            startup,
        })
    }

    fn startup(&mut self, mistakes: &mut Mistakes) -> startup::Config {
        let prefetch = self.prefetch.take();
        let prefetch = prefetch.and_then(|it| mistakes.read("--prefetch", it));
        let verify = self.verify.take();
        startup::Config {
            prefetch: prefetch.map_or_else(Vec::new, |it| it.resources().to_vec()),
            verify: verify.and_then(|it| mistakes.read("--verify", it)),
        }
    }

    fn entra(&mut self, mistakes: &mut Mistakes) -> Option<Settings> {
        let tenant = required(
            mistakes,
            "--tenant-id",
            variable::TENANT_ID,
            self.tenant_id.take(),
        )
        .and_then(|tenant| mistakes.read("--tenant-id", tenant));
        let file = required(
            mistakes,
            "--federated-token-file",
            variable::FEDERATED_TOKEN_FILE,
            self.federated_token_file.take(),
        );
        let authority = required(
            mistakes,
            "--authority-host",
            variable::AUTHORITY_HOST,
            self.authority_host.take(),
        )
        .and_then(|authority| mistakes.read("--authority-host", authority));
        mistakes.keep(Settings::new(&authority?, &tenant?, file?))
    }

    fn roots(&mut self, mistakes: &mut Mistakes) -> Roots {
        let mut roots = Roots::built_in();
        let data = self.ca_data.take();
        if let Some(data) = data.and_then(|data| mistakes.read_secret(variable::CA_DATA, data)) {
            roots.add(&data);
        }
        if let Some(file) = &self.ssl_cert_file {
            mistakes.keep(roots.add_file(file));
        }
        for directory in self.ssl_cert_dir.iter().flat_map(std::env::split_paths) {
            if directory != Path::new("") {
                mistakes.keep(roots.add_directory(&directory));
            }
        }
        roots
    }

    fn binding(&mut self, mistakes: &mut Mistakes) -> Option<Option<Binding>> {
        let is_set = self.kubernetes_token_proxy.is_some();
        let token_proxy = self.kubernetes_token_proxy.take();
        let token_proxy =
            token_proxy.and_then(|it| mistakes.read(variable::KUBERNETES_TOKEN_PROXY, it));
        let sni_name = self.kubernetes_sni_name.take();
        let sni_name = sni_name.and_then(|it| mistakes.read(variable::KUBERNETES_SNI_NAME, it));
        let ca_data = self.kubernetes_ca_data.take();
        let is_data_set = ca_data.is_some();
        let ca_data = ca_data.and_then(|it| mistakes.read_secret(variable::KUBERNETES_CA_DATA, it));
        if is_set != token_proxy.is_some() || is_data_set != ca_data.is_some() {
            return None;
        }
        let ca_file = self.kubernetes_ca_file.take();
        mistakes.keep(Binding::new(
            token_proxy.as_ref(),
            sni_name.as_ref(),
            ca_file,
            ca_data.as_ref(),
        ))
    }

    /// The error does not repeat the value, which may be a secret that is too short.
    fn secret(&mut self, mistakes: &mut Mistakes) -> Option<Secret> {
        let secret = self
            .identity_header
            .take()
            .filter(|secret| !secret.is_empty())?;
        if !secret.is_usable() {
            mistakes.add(format!(
                "{} must have at least {MIN_SECRET_LENGTH} printable ASCII characters and no space",
                variable::IDENTITY_HEADER
            ));
        }
        Some(secret)
    }
}

fn required<T>(mistakes: &mut Mistakes, flag: &str, variable: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        mistakes.add(format!(
            "{variable} ({flag}) is not set: the webhook sets it in pods with the label \
             azure.workload.identity/use: \"true\""
        ));
    }
    value
}

/// How long `--probe` keeps trying.
#[derive(Clone, Copy)]
struct ProbeTimeout(Duration);

/// The text is not a number of seconds, or out of range.
#[derive(Debug, Error)]
#[error("it must be a number of seconds from 0 to {MAX_PROBE_TIMEOUT}")]
struct ProbeTimeoutError;

impl FromStr for ProbeTimeout {
    type Err = ProbeTimeoutError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = text.parse().ok();
        let seconds = seconds.filter(|seconds| *seconds <= MAX_PROBE_TIMEOUT);
        let seconds = seconds.ok_or(ProbeTimeoutError)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

/// A day, in seconds: longer than any kubelet waits, and no deadline overflows.
const MAX_PROBE_TIMEOUT: u64 = 24 * 3600;

const AFTER_HELP: &str = "\
Variables without a flag:
  HTTPS_PROXY, NO_PROXY            the egress proxy to Entra, http or https (or ALL_PROXY); IMDS
                                   is always reached directly
  SSL_CERT_FILE, SSL_CERT_DIR      certificate authorities besides the built-in ones
  AZWI_CA_DATA                     the same, PEM
  AZWI_IDENTITY_HEADER             the secret that requests to App Service's endpoint must carry
  AZWI_RELAY_KEY                   the key that proxy-init has too: it exempts only connections to
                                   the real IMDS that the proxy announces with it
  AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_SNI_NAME,
  AZURE_KUBERNETES_CA_FILE, AZURE_KUBERNETES_CA_DATA
                                   AKS identity bindings: the token proxy, the name in its
                                   certificate, and its certificate authority

Exit codes:
  0   ended by a signal, or by /quitquitquit; with --probe: ready
  1   with --probe: not ready
  64  the configuration is wrong; all mistakes are listed
  66  the service account token cannot be read
  69  a port is taken
  70  the runtime, signal handling or TLS cannot be set up, or the runtime hung for 30 s
  77  with --verify=enforce: no token in 30 s";

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "91be0000-1111-2222-3333-444455556666";

    fn parse(flags: &[&str]) -> Result<Command, UsageError> {
        let needed = [
            "proxy",
            "--tenant-id=contoso",
            "--federated-token-file=/token",
            "--authority-host=https://login.microsoftonline.com/",
        ];
        Command::parse(needed.iter().chain(flags).map(OsString::from), |_| None)
    }

    fn config_of(flags: &[&str]) -> Config {
        match parse(flags) {
            Ok(Command::Serve(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    fn mistakes(flags: &[&str]) -> Vec<String> {
        match parse(flags) {
            Err(UsageError::Configuration(error)) => error.mistakes().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_variables_of_the_webhook_are_enough() {
        let config = config_of(&[]);
        assert_eq!(config.port, 8000);
        assert_eq!(config.relay.imds, "169.254.169.254:80".parse().unwrap());
        assert_eq!(config.relay.policy, Policy::Allow);
        assert_eq!(config.shutdown, Shutdown::default());
        assert_eq!(
            (config.metrics_port, config.api.identities.default),
            (None, None)
        );
    }

    #[test]
    fn accepts_the_flags_of_upstream_in_gos_spelling() {
        let config = config_of(&["-proxy-port", "9000", "-log-level=all", "-probe=false"]);
        assert_eq!(config.port, 9000);
        let probe = parse(&["-probe", "--proxy-port=9000", "--log-level="]);
        assert!(
            matches!(probe, Ok(Command::Probe { port: 9000, .. })),
            "{probe:?}"
        );
    }

    #[test]
    fn a_probe_needs_no_identity() {
        let args = ["proxy", "--probe"].map(OsString::from);
        assert!(matches!(
            Command::parse(args, |_| None),
            Ok(Command::Probe { port: 8000, .. })
        ));
    }

    #[test]
    fn reports_all_mistakes_at_once() {
        let args = [
            "proxy",
            "--proxy-port=70000",
            "--log-level=loud",
            "--log-format=xml",
        ]
        .into_iter()
        .chain([
            "--client-id=me",
            "--relay=some",
            "--metadata-ip=x",
            "--metadata-port=0",
        ])
        .chain([
            "--metrics-port=x",
            "--shutdown=never",
            "--quit=yes",
            "--identity-map=a",
            "--ca-data=x",
        ])
        .chain([
            "--kubernetes-sni-name=x",
            "--kubernetes-ca-file=/ca",
            "--tenant-id=a/b",
            "--ssl-cert-file=/nowhere",
        ]);
        let Err(UsageError::Configuration(error)) =
            Command::parse(args.map(OsString::from), |_| None)
        else {
            panic!("accepted");
        };
        let mistakes = error.mistakes();
        for part in [
            "--proxy-port=70000",
            "\"loud\"",
            "\"xml\"",
            "AZURE_CLIENT_ID=me",
            "\"some\"",
            "--metadata-ip=x",
            "--metadata-port=0",
            "--metrics-port=x",
            "\"never\"",
            "--quit=yes",
            "\"a\"",
            "AZWI_CA_DATA",
            "AZURE_KUBERNETES_TOKEN_PROXY",
            "\"a/b\"",
            "/nowhere",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST",
        ] {
            assert!(
                mistakes.iter().any(|mistake| mistake.contains(part)),
                "{part}: {mistakes:#?}"
            );
        }
    }

    #[test]
    fn the_identity_map_holds_object_and_resource_ids() {
        let id = "/subscriptions/s/resourceGroups/RG/providers/x/userAssignedIdentities/Name";
        let config = config_of(&["--identity-map", &format!("{id}={GUID}; AB={GUID},\n")]);
        let by_id = config.api.identities.by_id;
        assert_eq!(
            by_id.get(&id.to_ascii_lowercase()).map(String::as_str),
            Some(GUID)
        );
        assert_eq!(by_id.get("ab").map(String::as_str), Some(GUID));
    }

    #[test]
    fn rejects_a_proxy_that_answers_nothing_and_a_short_secret() {
        assert!(
            mistakes(&["--imds=off"])
                .concat()
                .contains("AZWI_IDENTITY_HEADER")
        );
        assert!(mistakes(&["--imds=no"]).concat().contains("--imds=no"));
        let mistake = mistakes(&["--identity-header=too-short"]).concat();
        assert!(
            mistake.contains("AZWI_IDENTITY_HEADER") && !mistake.contains("too-short"),
            "{mistake}"
        );
        let secret = format!("--identity-header={}", "x".repeat(MIN_SECRET_LENGTH));
        assert!(!config_of(&[&secret, "--imds=off"]).api.imds);
        assert!(config_of(&["--identity-header="]).api.app_service.is_none());
    }

    #[test]
    fn rejects_a_malformed_relay_key_and_does_not_repeat_it() {
        let mistake = mistakes(&["--relay-key=secret"]).concat();
        assert_eq!(mistake, "AZWI_RELAY_KEY: it must be 32 hexadecimal digits");
        assert_eq!(config_of(&["--relay-key="]).relay.key, None);
        let key = "000102030405060708090a0b0c0d0e0f";
        let config = config_of(&["--relay-key", key]);
        assert_eq!(config.relay.key, Some(key.parse().unwrap()));
        assert!(!format!("{config:?}").contains("0a0b"));
    }

    #[test]
    fn answers_on_the_loopback_address_only_in_mode_environment_or_by_a_setting() {
        let secret = format!("--identity-header={}", "x".repeat(MIN_SECRET_LENGTH));
        let loopback = |flags: &[&str]| config_of(flags).api.loopback;
        assert!(!loopback(&[]) && loopback(&[&secret]));
        assert!(loopback(&["--loopback=on"]) && !loopback(&["--loopback=off", &secret]));
        assert!(
            mistakes(&["--loopback=yes"])
                .concat()
                .contains("--loopback=yes")
        );
    }

    #[test]
    fn reads_what_to_do_before_the_application_starts() {
        let config = config_of(&["--prefetch=https://a, https://b", "--verify=enforce"]);
        assert_eq!(config.startup.prefetch, ["https://a", "https://b"]);
        assert_eq!(config.startup.verify, Some(Verify::Enforce));
        let config = config_of(&["--prefetch=", "--verify= "]);
        assert!(config.startup.prefetch.is_empty() && config.startup.verify.is_none());
        let mistakes = mistakes(&["--prefetch=https://a/.default", "--verify=on"]).concat();
        assert!(mistakes.contains("leave out /.default"), "{mistakes}");
        assert!(
            mistakes.contains("--verify=on: it must be warn or enforce"),
            "{mistakes}"
        );
    }

    #[test]
    fn a_probe_waits_longer_than_the_proxy_waits_for_a_token() {
        let Ok(Command::Probe { timeout, .. }) = parse(&["--probe"]) else {
            panic!("a probe");
        };
        assert!(timeout >= startup::ENFORCE + Duration::from_secs(10));
    }

    #[test]
    fn rejects_one_port_for_two_listeners() {
        assert!(mistakes(&["--metrics-port=8000"]).concat().contains("8000"));
    }

    #[test]
    fn ignores_the_addresses_of_services_in_variables_of_ports() {
        for link in [
            "tcp://10.0.0.5:80",
            "udp://10.0.0.5:80",
            "sctp://10.0.0.5:80",
        ] {
            let variable = |name: &str| name.ends_with("_PORT").then(|| link.into());
            let flags = [
                "proxy",
                "--tenant-id=contoso",
                "--federated-token-file=/token",
                "--authority-host=https://login.microsoftonline.com/",
            ];
            let command = Command::parse(flags.map(OsString::from), variable);
            let Ok(Command::Serve(config)) = command else {
                panic!("{command:?}");
            };
            assert_eq!(config.relay.imds.port(), 80, "{link}");
            assert_eq!(config.metrics_port, None, "{link}");
            assert_eq!(config.port, 8000, "{link}");

            let [metadata, metrics, proxy] =
                ["metadata", "metrics", "proxy"].map(|name| format!("--{name}-port={link}"));
            let config = config_of(&[&metadata, &metrics, &proxy]);
            assert_eq!(config.relay.imds.port(), 80, "{link}");
            assert_eq!(config.metrics_port, None, "{link}");
            assert_eq!(config.port, 8000, "{link}");
            let probe = parse(&["--probe", &proxy]);
            assert!(
                matches!(probe, Ok(Command::Probe { port: 8000, .. })),
                "{probe:?}"
            );
        }
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let variables = [
            ("AZURE_TENANT_ID", "contoso"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
            ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
        ];
        let command = Command::parse(["proxy".into()], |name| {
            let set = variables.iter().find(|(known, _)| *known == name);
            Some(set.map_or("", |(_, value)| value).into())
        });
        assert!(matches!(command, Ok(Command::Serve(_))), "{command:?}");
    }
}
