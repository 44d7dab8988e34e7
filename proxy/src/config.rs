//! Flags and environment variables. Every mistake is found before one is reported.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser};
use contract::app_service::MIN_SECRET_LENGTH;
use contract::log::{LogFormat, LogLevel};
use contract::service_link::is_service_link;
use contract::{metadata, variable};
use thiserror::Error;

use crate::api::app_service::Secret;
use crate::api::imds::is_guid;
use crate::entra::{Binding, Egress, Roots, Settings};
use crate::identity::Identities;
use crate::{api, entra, relay};

/// What the program was started for.
#[derive(Debug)]
pub enum Command {
    /// Ask a running sidecar whether it is ready.
    Probe {
        /// The port that it listens on.
        port: u16,
        /// How long to go on asking.
        patience: Duration,
    },
    /// Be the sidecar.
    Serve(Box<Config>),
}

/// The sidecar's configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// What is answered.
    pub api: api::Config,
    /// Where tokens come from.
    pub entra: entra::Config,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: LogLevel,
    /// The port for `/metrics`, on all addresses; none without.
    pub metrics_port: Option<u16>,
    /// The port to listen on, on 127.0.0.1; 0 for any.
    pub port: u16,
    /// What is relayed, and where to.
    pub relay: relay::Config,
    /// What SIGTERM does.
    pub shutdown: Shutdown,
}

/// What the first SIGTERM does. The second ends the proxy at once in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Go on until the pod's grace period is over: the application may need tokens while it stops.
    Linger,
    /// End. kubelet stops a native sidecar after the application.
    Now,
}

/// Why the program does not start.
#[derive(Debug, Error)]
pub enum UsageError {
    /// Wrong flags, or a request for help: clap's text.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// Wrong values, all of them.
    #[error("the configuration is wrong:\n  - {}", .0.join("\n  - "))]
    Values(Vec<String>),
}

impl Command {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// All mistakes in values together, or the first mistake in the flags themselves.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        Args::try_parse_from(contract::flags::from_go_syntax(args))?.command()
    }
}

impl FromStr for Shutdown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "linger" => Ok(Self::Linger),
            "now" => Ok(Self::Now),
            _ => Err(format!(
                "{text:?} is no way to shut down: use linger or now"
            )),
        }
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
    after_help = AFTER_HELP
)]
struct Args {
    /// Port to listen on, on 127.0.0.1
    #[arg(long, env = "AZWI_PROXY_PORT", value_name = "PORT", default_value_t = metadata::DEFAULT_PROXY_PORT.to_string())]
    proxy_port: String,
    /// Ask the proxy on that port whether it is ready, and exit with 0 if it is
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, hide_default_value = true, hide_possible_values = true)]
    probe: bool,
    /// How long --probe goes on asking, in seconds
    #[arg(
        long,
        env = "AZWI_PROBE_TIMEOUT",
        value_name = "SECONDS",
        default_value = "60"
    )]
    probe_timeout: String,
    /// error, warn, info, debug, trace or all; empty means info
    #[arg(long, env = "AZWI_LOG_LEVEL", value_name = "LEVEL", default_value = "")]
    log_level: String,
    /// json or text
    #[arg(
        long,
        env = "AZWI_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    log_format: String,
    /// Tenant of the identity: a GUID or a domain
    #[arg(long, env = variable::TENANT_ID, value_name = "TENANT")]
    tenant_id: Option<String>,
    /// Client id of the identity for requests that name none
    #[arg(long, env = variable::CLIENT_ID, value_name = "GUID")]
    client_id: Option<String>,
    /// File with the projected service account token; read for every exchange
    #[arg(long, env = variable::FEDERATED_TOKEN_FILE, value_name = "FILE")]
    federated_token_file: Option<String>,
    /// Entra authority, an https URL; the public cloud is at login.microsoftonline.com
    #[arg(long, env = variable::AUTHORITY_HOST, value_name = "URL")]
    authority_host: Option<String>,
    /// Client ids for requests by object id or resource id: ID=CLIENT_ID, several split by ; or ,
    #[arg(long, env = variable::IDENTITY_MAP, value_name = "MAP", default_value = "")]
    identity_map: String,
    /// Whether to answer as IMDS does: on, or off where others than the pod reach the port (pods
    /// on the node's network); App Service's endpoint asks for a secret and is then the only one
    #[arg(long, env = variable::IMDS, value_name = "ON|OFF", default_value = "on")]
    imds: String,
    /// What is relayed to the real IMDS: allow, deny, or path prefixes split by commas. Paths
    /// under /metadata/identity never are
    #[arg(
        long,
        env = "AZWI_RELAY",
        value_name = "POLICY",
        default_value = "allow"
    )]
    relay: String,
    /// Address of the real IMDS
    #[arg(long, env = variable::METADATA_IP, value_name = "IP", default_value_t = metadata::ADDRESS.to_string())]
    metadata_ip: String,
    /// Port of the real IMDS
    #[arg(long, env = variable::METADATA_PORT, value_name = "PORT", default_value_t = metadata::PORT.to_string())]
    metadata_port: String,
    /// Port for Prometheus metrics at /metrics, on all addresses; 0 for none
    #[arg(
        long,
        env = "AZWI_METRICS_PORT",
        value_name = "PORT",
        default_value = "0"
    )]
    metrics_port: String,
    /// What SIGTERM does: linger (serve until killed, for plain containers) or now (for native
    /// sidecars). A second signal always ends the proxy
    #[arg(
        long,
        env = "AZWI_SHUTDOWN",
        value_name = "WAY",
        default_value = "linger"
    )]
    shutdown: String,
    /// The secret that requests to App Service's endpoint must carry
    #[arg(long, env = variable::IDENTITY_HEADER, hide = true)]
    identity_header: Option<Secret>,
    /// Certificate authorities besides the built-in ones, in PEM form
    #[arg(long, env = variable::CA_DATA, value_name = "PEM", hide = true)]
    ca_data: Option<String>,
    /// Further certificate authorities
    #[arg(long, env = "SSL_CERT_FILE", hide = true)]
    ssl_cert_file: Option<PathBuf>,
    /// Further certificate authorities
    #[arg(long, env = "SSL_CERT_DIR", hide = true)]
    ssl_cert_dir: Option<OsString>,
    /// Identity bindings: the token proxy
    #[arg(long, env = variable::KUBERNETES_TOKEN_PROXY, hide = true)]
    kubernetes_token_proxy: Option<String>,
    /// Identity bindings: the name in its certificate
    #[arg(long, env = variable::KUBERNETES_SNI_NAME, hide = true)]
    kubernetes_sni_name: Option<String>,
    /// Identity bindings: the file with its certificate authority
    #[arg(long, env = variable::KUBERNETES_CA_FILE, hide = true)]
    kubernetes_ca_file: Option<String>,
    /// Identity bindings: its certificate authority
    #[arg(long, env = variable::KUBERNETES_CA_DATA, hide = true)]
    kubernetes_ca_data: Option<String>,
    /// Print the version
    #[arg(long, action = ArgAction::Version)]
    version: (),
}

const AFTER_HELP: &str = "\
Variables without a flag:
  HTTPS_PROXY, NO_PROXY            the egress proxy to Entra, http or https (or ALL_PROXY); IMDS
                                   is never asked through one
  SSL_CERT_FILE, SSL_CERT_DIR      certificate authorities besides the built-in ones
  AZWI_CA_DATA                     the same, PEM
  AZWI_IDENTITY_HEADER             the secret that requests to App Service's endpoint must carry
  AZURE_KUBERNETES_TOKEN_PROXY, AZURE_KUBERNETES_SNI_NAME,
  AZURE_KUBERNETES_CA_FILE, AZURE_KUBERNETES_CA_DATA
                                   AKS identity bindings: the token proxy, the name in its
                                   certificate, and its certificate authority

Exit codes:
  0   ended as it was told; with --probe: ready
  1   with --probe: not ready
  64  the configuration is wrong; all mistakes are listed
  66  the service account token cannot be read
  69  a port is taken
  70  the runtime, the handling of signals or TLS cannot be set up, or nothing ran for 30 s";

impl Args {
    fn command(self) -> Result<Command, UsageError> {
        let mut mistakes = Mistakes::default();
        if self.probe {
            let port = mistakes.port(
                "--proxy-port",
                &self.proxy_port,
                metadata::DEFAULT_PROXY_PORT,
            );
            let patience = mistakes.patience("--probe-timeout", &self.probe_timeout);
            return match (port, patience) {
                (Some(port), Some(patience)) => Ok(Command::Probe { port, patience }),
                _ => Err(UsageError::Values(mistakes.0)),
            };
        }
        let config = self.config(&mut mistakes);
        match config {
            Some(config) if mistakes.0.is_empty() => Ok(Command::Serve(Box::new(config))),
            _ => Err(UsageError::Values(mistakes.0)),
        }
    }

    fn config(&self, mistakes: &mut Mistakes) -> Option<Config> {
        let port = mistakes.port(
            "--proxy-port",
            &self.proxy_port,
            metadata::DEFAULT_PROXY_PORT,
        );
        let log_level = mistakes.read("--log-level", &self.log_level);
        let log_format = mistakes.read("--log-format", &self.log_format);
        let entra = self.entra(mistakes);
        let default = mistakes.client_id(self.client_id.as_deref());
        let by_id = mistakes.identity_map(&self.identity_map);
        let app_service = mistakes.secret(self.identity_header.as_ref());
        let imds_is_on = mistakes.switch("--imds", &self.imds);
        if imds_is_on == Some(false) && app_service.is_none() {
            mistakes.add(format!(
                "--imds=off leaves nothing to answer: set {} too",
                variable::IDENTITY_HEADER
            ));
        }
        let relay = mistakes.read("--relay", &self.relay);
        let imds_ip = mistakes.read::<IpAddr>("--metadata-ip", &self.metadata_ip);
        let imds_port = mistakes.port("--metadata-port", &self.metadata_port, metadata::PORT);
        let metrics_port = match &*self.metrics_port {
            link if is_service_link(link) => Some(0),
            port => mistakes.read::<u16>("--metrics-port", port),
        };
        let shutdown = mistakes.read("--shutdown", &self.shutdown);
        let roots = self.roots(mistakes);
        let binding = mistakes.keep(Binding::new(
            self.kubernetes_token_proxy.as_deref(),
            self.kubernetes_sni_name.as_deref(),
            self.kubernetes_ca_file.as_deref(),
            self.kubernetes_ca_data.as_deref(),
        ));
        let egress = match binding {
            // What is in the cluster is reached without.
            Some(Some(_)) => Some(None),
            _ => mistakes.keep(Egress::from_environment(std::env::var_os)),
        };
        let (port, metrics_port) = (port?, metrics_port?);
        if port == metrics_port {
            mistakes.add(format!("--proxy-port and --metrics-port are both {port}"));
        }
        Some(Config {
            api: api::Config {
                app_service,
                identities: Identities { default, by_id },
                imds: imds_is_on?,
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
                imds: SocketAddr::new(imds_ip?, imds_port?),
                policy: relay?,
            },
            shutdown: shutdown?,
        })
    }

    fn entra(&self, mistakes: &mut Mistakes) -> Option<Settings> {
        let tenant = mistakes.required("--tenant-id", variable::TENANT_ID, &self.tenant_id);
        let file = mistakes.required(
            "--federated-token-file",
            variable::FEDERATED_TOKEN_FILE,
            &self.federated_token_file,
        );
        let authority = mistakes.required(
            "--authority-host",
            variable::AUTHORITY_HOST,
            &self.authority_host,
        );
        // What is there is checked even when something else is missing.
        let settings = Settings::new(
            authority.unwrap_or("https://login.microsoftonline.com/"),
            tenant.unwrap_or("common"),
            PathBuf::from(file.unwrap_or_default()),
        );
        match settings {
            Ok(settings) => Some(settings),
            Err(errors) => {
                errors.iter().for_each(|error| mistakes.add(error));
                None
            }
        }
    }

    fn roots(&self, mistakes: &mut Mistakes) -> Roots {
        let mut roots = Roots::built_in();
        let set = |value: &&String| !value.trim().is_empty();
        if let Some(pem) = self.ca_data.as_ref().filter(set) {
            mistakes.keep(roots.add_pem(variable::CA_DATA, pem.as_bytes()));
        }
        if let Some(file) = self
            .ssl_cert_file
            .as_deref()
            .filter(|file| *file != Path::new(""))
        {
            mistakes.keep(roots.add_file(file));
        }
        for directory in self.ssl_cert_dir.iter().flat_map(std::env::split_paths) {
            if directory != Path::new("") {
                mistakes.keep(roots.add_directory(&directory));
            }
        }
        roots
    }
}

#[derive(Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    fn add(&mut self, mistake: impl Display) {
        self.0.push(mistake.to_string());
    }

    fn keep<T, E: Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    fn read<T: FromStr<Err: Display>>(&mut self, flag: &str, text: &str) -> Option<T> {
        let read = text.trim().parse::<T>();
        self.keep(read.map_err(|error| format!("{flag}={text}: {error}")))
    }

    fn port(&mut self, flag: &str, text: &str, default: u16) -> Option<u16> {
        if is_service_link(text) {
            return Some(default);
        }
        let port = text.trim().parse().ok().filter(|port| *port != 0);
        if port.is_none() {
            self.add(format!("{flag}={text}: a port is a number from 1 to 65535"));
        }
        port
    }

    fn patience(&mut self, flag: &str, text: &str) -> Option<Duration> {
        let seconds = text.trim().parse().ok();
        let seconds = seconds.filter(|seconds| *seconds <= MAX_PATIENCE);
        if seconds.is_none() {
            self.add(format!(
                "{flag}={text}: it must be a number of seconds from 0 to {MAX_PATIENCE}"
            ));
        }
        seconds.map(Duration::from_secs)
    }

    fn switch(&mut self, flag: &str, text: &str) -> Option<bool> {
        match text.trim() {
            "on" => Some(true),
            "off" => Some(false),
            _ => {
                self.add(format!("{flag}={text}: it must be on or off"));
                None
            }
        }
    }

    /// The value is not repeated: it may be a secret that is merely too short.
    fn secret(&mut self, secret: Option<&Secret>) -> Option<Secret> {
        let secret = secret.filter(|secret| !secret.is_empty())?;
        if !secret.is_usable() {
            self.add(format!(
                "{} must have at least {MIN_SECRET_LENGTH} printable ASCII characters and no space",
                variable::IDENTITY_HEADER
            ));
        }
        Some(secret.clone())
    }

    fn required<'a>(
        &mut self,
        flag: &str,
        variable: &str,
        value: &'a Option<String>,
    ) -> Option<&'a str> {
        let value = value
            .as_deref()
            .map(str::trim)
            .filter(|value| !value.is_empty());
        if value.is_none() {
            self.add(format!(
                "{variable} ({flag}) is not set: the webhook sets it in pods with the label \
                 azure.workload.identity/use: \"true\""
            ));
        }
        value
    }

    fn client_id(&mut self, value: Option<&str>) -> Option<String> {
        let id = value.map(str::trim).filter(|id| !id.is_empty())?;
        if !is_guid(id) {
            self.add(format!(
                "{} ({id}) is not a GUID: correct the annotation azure.workload.identity/client-id \
                 of the service account",
                variable::CLIENT_ID
            ));
        }
        Some(id.to_owned())
    }

    fn identity_map(&mut self, text: &str) -> HashMap<String, String> {
        let mut map = HashMap::new();
        let pairs = text.split([';', ',', '\n']).map(str::trim);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            match pair
                .rsplit_once('=')
                .map(|(id, client_id)| (id.trim(), client_id.trim()))
            {
                Some((id, client_id)) if !id.is_empty() && is_guid(client_id) => {
                    map.insert(id.to_ascii_lowercase(), client_id.to_owned());
                }
                _ => self.add(format!(
                    "--identity-map: {pair:?} is not ID=CLIENT_ID with an object id or resource id \
                     and a GUID"
                )),
            }
        }
        map
    }
}

/// A day, in seconds: nothing waits that long for a proxy, and deadlines are far from the end of
/// the clock.
const MAX_PATIENCE: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Policy;

    const GUID: &str = "91be0000-1111-2222-3333-444455556666";

    fn parse(flags: &[&str]) -> Result<Command, UsageError> {
        let needed = [
            "proxy",
            "--tenant-id=contoso",
            "--federated-token-file=/token",
            "--authority-host=https://login.microsoftonline.com/",
        ];
        Command::parse(needed.iter().chain(flags).map(OsString::from))
    }

    fn config(flags: &[&str]) -> Config {
        match parse(flags) {
            Ok(Command::Serve(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    fn mistakes(flags: &[&str]) -> Vec<String> {
        match parse(flags) {
            Err(UsageError::Values(mistakes)) => mistakes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_but_what_the_webhook_sets_is_needed() {
        let config = config(&[]);
        assert_eq!(config.port, 8000);
        assert_eq!(config.relay.imds, "169.254.169.254:80".parse().unwrap());
        assert_eq!(config.relay.policy, Policy::Allow);
        assert_eq!(config.shutdown, Shutdown::Linger);
        assert_eq!(
            (config.metrics_port, config.api.identities.default),
            (None, None)
        );
    }

    #[test]
    fn the_peers_flags_work_in_gos_spelling() {
        let config = config(&["-proxy-port", "9000", "-log-level=all", "-probe=false"]);
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
            Command::parse(args),
            Ok(Command::Probe { port: 8000, .. })
        ));
    }

    #[test]
    fn all_mistakes_come_at_once() {
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
            "--identity-map=a",
            "--ca-data=x",
        ])
        .chain([
            "--kubernetes-sni-name=x",
            "--tenant-id=a/b",
            "--ssl-cert-file=/nowhere",
        ]);
        let Err(UsageError::Values(mistakes)) = Command::parse(args.map(OsString::from)) else {
            panic!("accepted");
        };
        for part in [
            "--proxy-port=70000",
            "\"loud\"",
            "\"xml\"",
            "AZURE_CLIENT_ID (me)",
            "\"some\"",
            "--metadata-ip=x",
            "--metadata-port=0",
            "--metrics-port=x",
            "\"never\"",
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
        let config = config(&["--identity-map", &format!("{id}={GUID}; AB={GUID},\n")]);
        let by_id = config.api.identities.by_id;
        assert_eq!(
            by_id.get(&id.to_ascii_lowercase()).map(String::as_str),
            Some(GUID)
        );
        assert_eq!(by_id.get("ab").map(String::as_str), Some(GUID));
    }

    #[test]
    fn something_must_be_answered_and_a_secret_must_be_one() {
        assert!(
            mistakes(&["--imds=off"])
                .concat()
                .contains("AZWI_IDENTITY_HEADER")
        );
        assert!(mistakes(&["--imds=no"]).concat().contains("--imds=no"));
        let told = mistakes(&["--identity-header=too-short"]).concat();
        assert!(
            told.contains("AZWI_IDENTITY_HEADER") && !told.contains("too-short"),
            "{told}"
        );
        let secret = format!("--identity-header={}", "x".repeat(MIN_SECRET_LENGTH));
        assert!(!config(&[&secret, "--imds=off"]).api.imds);
        assert!(config(&["--identity-header="]).api.app_service.is_none());
    }

    #[test]
    fn ports_may_not_clash() {
        assert!(mistakes(&["--metrics-port=8000"]).concat().contains("8000"));
    }

    #[test]
    fn services_called_like_our_variables_do_no_harm() {
        for link in [
            "tcp://10.0.0.5:80",
            "udp://10.0.0.5:80",
            "sctp://10.0.0.5:80",
        ] {
            let [metadata, metrics, proxy] =
                ["metadata", "metrics", "proxy"].map(|name| format!("--{name}-port={link}"));
            let config = config(&[&metadata, &metrics, &proxy]);
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
}
