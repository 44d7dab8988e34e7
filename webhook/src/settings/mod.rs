//! The command line and the environment. Every mistake is found before any is reported.

mod arguments;
mod bindings;
mod cloud;
mod resources;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use contract::log::{LogFormat, LogLevel};
use contract::{token, variable};

use crate::certificate::tls::MinVersion;
use crate::inject::{self, Config, Mode, Resources, SeccompProfile, Sidecar};
use crate::version::NativeSidecar;
use arguments::Arguments;

/// What log filters call this program.
pub const CRATE: &str = env!("CARGO_CRATE_NAME");

/// What the operator wants.
#[derive(Debug)]
pub struct Settings {
    /// Where the serving certificate comes from.
    pub certificates: Certificates,
    /// What to inject. Whether sidecars are native is decided later when that is automatic.
    pub config: Config,
    /// The address of `/healthz` and `/readyz`, in Go's form.
    pub health_addr: String,
    /// The log's format.
    pub log_format: LogFormat,
    /// The log's level.
    pub log_level: LogLevel,
    /// How many connections of API servers are open at most.
    pub max_connections: u32,
    /// The address of `/metrics`, in Go's form; none is served without.
    pub metrics_addr: Option<String>,
    /// Whether durations are told apart by namespace.
    pub metrics_by_namespace: bool,
    /// The webhook's own namespace.
    pub namespace: String,
    /// Whether the proxy is a native sidecar.
    pub native_sidecar: NativeSidecar,
    /// The port of the admission listener.
    pub port: u16,
    /// A file with certificates that the proxies trust besides the public roots.
    pub proxy_ca_file: Option<PathBuf>,
    /// The oldest TLS version that is spoken.
    pub tls_min_version: MinVersion,
}

/// Where the serving certificate comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Certificates {
    /// `tls.crt` and `tls.key` in this directory.
    Files(PathBuf),
    /// The webhook makes it and tells the API server.
    Own,
}

/// Why the program does not start, or need not.
#[derive(Debug)]
pub enum Refusal {
    /// Usage: help or version was asked for, or a flag is unknown.
    Clap(clap::Error),
    /// What is wrong, one sentence each.
    Mistakes(Vec<String>),
}

impl Refusal {
    /// Tells the operator, and says how to exit.
    pub fn report(self) -> ExitCode {
        match self {
            Self::Clap(error) => {
                let _ = error.print();
                if error.use_stderr() {
                    ExitCode::from(contract::EXIT_USAGE)
                } else {
                    ExitCode::SUCCESS
                }
            }
            Self::Mistakes(mistakes) => {
                for mistake in mistakes {
                    eprintln!("{mistake}");
                }
                ExitCode::from(contract::EXIT_USAGE)
            }
        }
    }
}

impl Settings {
    /// Reads flags, and variables where there is no flag. An empty value counts as none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn read(
        args: impl IntoIterator<Item = OsString>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let Arguments {
            audience,
            authority_host,
            custom_token_endpoint_annotation_suffix,
            custom_token_endpoint_audience,
            disable_cert_rotation,
            health_addr,
            log_format,
            log_level,
            max_connections,
            metrics_addr,
            metrics_backend,
            metrics_namespace_label,
            native_sidecar,
            port,
            proxy_ca_file,
            proxy_https_proxy,
            proxy_image_pull_policy,
            proxy_init_net_raw,
            proxy_init_resources,
            proxy_log_level,
            proxy_metrics_port,
            proxy_mode,
            proxy_no_proxy,
            proxy_relay,
            proxy_resources,
            proxy_seccomp_profile,
            tls_min_version,
            webhook_cert_dir,
        } = Arguments::try_parse_from(args).map_err(Refusal::Clap)?;
        let mut reader = Reader {
            env: &env,
            mistakes: Vec::new(),
        };
        let r = &mut reader;

        let log_level_text = r
            .text("log-level", log_level)
            .unwrap_or_else(|| "info".to_owned());
        let certificates = {
            let directory = r.text("webhook-cert-dir", webhook_cert_dir);
            let directory = directory.unwrap_or_else(|| "/certs".to_owned());
            if r.switch("disable-cert-rotation", disable_cert_rotation, false) {
                Certificates::Files(directory.into())
            } else {
                Certificates::Own
            }
        };
        let metrics_backend = r.text("metrics-backend", metrics_backend);
        if metrics_backend
            .as_deref()
            .is_some_and(|backend| backend != "prometheus")
        {
            r.mistake("--metrics-backend: only prometheus is known");
        }

        let config = Config {
            audience: r
                .text("audience", audience)
                .unwrap_or_else(|| token::DEFAULT_AUDIENCE.to_owned()),
            authority_host: {
                let host = r.text("authority-host", authority_host);
                cloud::authority_host(r, host)
            },
            tenant_id: r.tenant_id(),
            sidecar: Sidecar {
                image: r.required("PROXY_IMAGE", "the image of the injected proxy"),
                init_image: r
                    .variable("PROXY_INIT_IMAGE")
                    .or_else(|| r.variable("PROXY_IMAGE"))
                    .unwrap_or_default(),
                pull_policy: r.pull_policy(proxy_image_pull_policy),
                mode: r.parsed("proxy-mode", proxy_mode, Mode::Redirect),
                log_level: r.proxy_log_level(proxy_log_level, &log_level_text),
                metrics_port: Some(r.parsed("proxy-metrics-port", proxy_metrics_port, 0))
                    .filter(|port| *port != 0),
                native: false,
                resources: r.resources("proxy-resources", proxy_resources, PROXY_RESOURCES),
                init_net_raw: r.switch("proxy-init-net-raw", proxy_init_net_raw, false),
                init_resources: r.resources(
                    "proxy-init-resources",
                    proxy_init_resources,
                    PROXY_INIT_RESOURCES,
                ),
                seccomp_profile: r.parsed(
                    "proxy-seccomp-profile",
                    proxy_seccomp_profile,
                    SeccompProfile::RuntimeDefault,
                ),
                environment: [
                    ("HTTPS_PROXY", r.https_proxy(proxy_https_proxy)),
                    ("NO_PROXY", r.text("proxy-no-proxy", proxy_no_proxy)),
                    (variable::RELAY, r.relay(proxy_relay)),
                ]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            },
            bindings: {
                let suffix = r.text(
                    "custom-token-endpoint-annotation-suffix",
                    custom_token_endpoint_annotation_suffix,
                );
                let audience = r.text(
                    "custom-token-endpoint-audience",
                    custom_token_endpoint_audience,
                );
                bindings::read(r, suffix, audience)
            },
        };
        if config
            .bindings
            .as_ref()
            .is_some_and(|it| it.audience == config.audience)
        {
            r.mistake("--custom-token-endpoint-audience: it must differ from --audience");
        }

        let settings = Self {
            certificates,
            config,
            health_addr: r.address("health-addr", health_addr, ":9440"),
            log_format: r.parsed("log-format", log_format, LogFormat::Json),
            log_level: r.log_level("--log-level", &log_level_text),
            max_connections: r.max_connections(max_connections),
            metrics_addr: Some(r.address("metrics-addr", metrics_addr, ":8095"))
                .filter(|address| address != NO_METRICS),
            metrics_by_namespace: r.switch(
                "metrics-namespace-label",
                metrics_namespace_label,
                true,
            ),
            namespace: r
                .variable("POD_NAMESPACE")
                .unwrap_or_else(|| "azure-workload-identity-system".to_owned()),
            native_sidecar: r.native_sidecar(native_sidecar),
            port: r.parsed("port", port, 9443),
            proxy_ca_file: r.text("proxy-ca-file", proxy_ca_file).map(PathBuf::from),
            tls_min_version: r.tls_min_version(tls_min_version),
        };
        if reader.mistakes.is_empty() {
            Ok(settings)
        } else {
            Err(Refusal::Mistakes(reader.mistakes))
        }
    }
}

/// The `--metrics-addr` that turns metrics off, as in controller-runtime.
const NO_METRICS: &str = "0";
const PROXY_RESOURCES: &str =
    r#"{"limits":{"memory":"64Mi"},"requests":{"cpu":"10m","memory":"16Mi"}}"#;
const PROXY_INIT_RESOURCES: &str =
    r#"{"limits":{"memory":"32Mi"},"requests":{"cpu":"10m","memory":"8Mi"}}"#;

/// Reads values and collects mistakes.
struct Reader<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn mistake(&mut self, text: impl Into<String>) {
        self.mistakes.push(text.into());
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, meaning: &str) -> String {
        self.variable(name).unwrap_or_else(|| {
            self.mistake(format!("{name} is not set: it is {meaning}"));
            String::new()
        })
    }

    /// The flag's value, else that of its variable.
    fn text(&self, flag: &str, value: Option<String>) -> Option<String> {
        let value = value.filter(|value| !value.is_empty());
        value.or_else(|| {
            self.variable(&format!(
                "AZWI_{}",
                flag.to_ascii_uppercase().replace('-', "_")
            ))
        })
    }

    fn parsed<T: FromStr<Err: ToString>>(
        &mut self,
        flag: &str,
        value: Option<String>,
        default: T,
    ) -> T {
        let Some(text) = self.text(flag, value) else {
            return default;
        };
        text.parse().unwrap_or_else(|error: T::Err| {
            self.mistake(format!("--{flag}={text}: {}", error.to_string()));
            default
        })
    }

    fn switch(&mut self, flag: &str, value: Option<String>, default: bool) -> bool {
        // Go's strconv.ParseBool
        match self.text(flag, value).as_deref() {
            None => default,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some(other) => {
                self.mistake(format!("--{flag}={other}: it must be true or false"));
                default
            }
        }
    }

    fn address(&mut self, flag: &str, value: Option<String>, default: &str) -> String {
        let address = self.text(flag, value).unwrap_or_else(|| default.to_owned());
        let is_off = flag == "metrics-addr" && address == NO_METRICS;
        let is_valid = match address.strip_prefix(':') {
            Some(port) => port.parse::<u16>().is_ok(),
            None => address.parse::<SocketAddr>().is_ok(),
        };
        if !is_valid && !is_off {
            self.mistake(format!(
                "--{flag}={address}: it must be :port or address:port"
            ));
        }
        address
    }

    fn log_level(&mut self, source: &str, text: &str) -> LogLevel {
        text.parse().unwrap_or_else(|error| {
            self.mistake(format!("{source}={text}: {error}"));
            LogLevel::default()
        })
    }

    fn proxy_log_level(&mut self, value: Option<String>, own: &str) -> String {
        let Some(text) = self.text("proxy-log-level", value) else {
            return own.to_owned();
        };
        self.log_level("--proxy-log-level", &text);
        text
    }

    fn tenant_id(&mut self) -> String {
        let tenant = self.required(
            "AZURE_TENANT_ID",
            "the Microsoft Entra tenant that tokens are asked from",
        );
        if !tenant.is_empty() && !inject::is_tenant(&tenant) {
            self.mistake(format!(
                "AZURE_TENANT_ID={tenant}: it must be a GUID or a domain"
            ));
        }
        tenant
    }

    fn pull_policy(&mut self, value: Option<String>) -> String {
        const FLAG: &str = "proxy-image-pull-policy";
        let policy = self
            .text(FLAG, value)
            .unwrap_or_else(|| "IfNotPresent".to_owned());
        if !["Always", "IfNotPresent", "Never"].contains(&policy.as_str()) {
            self.mistake(format!(
                "--{FLAG}={policy}: it must be Always, IfNotPresent or Never"
            ));
        }
        policy
    }

    /// As far as it can be told without a parser of addresses. The value may hold a password.
    fn https_proxy(&mut self, value: Option<String>) -> Option<String> {
        let address = self.text("proxy-https-proxy", value)?;
        let scheme = address.split_once("://").map(|(scheme, _)| scheme.trim());
        let is_known = |scheme: &str| {
            ["http", "https"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        };
        if !scheme.is_none_or(is_known) {
            self.mistake("--proxy-https-proxy: its scheme must be http or https");
        }
        Some(address)
    }

    /// The proxy's own check, where it is seen once and not in every pod.
    fn relay(&mut self, value: Option<String>) -> Option<String> {
        let policy = self.text("proxy-relay", value)?;
        let is_known = match policy.trim() {
            "allow" | "deny" => true,
            paths => paths.split(',').all(|path| path.trim().starts_with('/')),
        };
        if !is_known {
            self.mistake(format!(
                "--proxy-relay={policy}: it must be allow, deny, or paths that begin with / split \
                 by commas"
            ));
        }
        Some(policy)
    }

    fn max_connections(&mut self, value: Option<String>) -> u32 {
        const DEFAULT: u32 = 1024;
        let number = self.parsed("max-connections", value, DEFAULT);
        if number == 0 {
            self.mistake("--max-connections=0: at least one is needed");
        }
        number
    }

    fn native_sidecar(&mut self, value: Option<String>) -> NativeSidecar {
        match self.text("native-sidecar", value).as_deref() {
            None | Some("auto") => NativeSidecar::Auto,
            Some("on" | "true") => NativeSidecar::On,
            Some("off" | "false") => NativeSidecar::Off,
            Some(other) => {
                self.mistake(format!(
                    "--native-sidecar={other}: it must be auto, on or off"
                ));
                NativeSidecar::Auto
            }
        }
    }

    fn tls_min_version(&mut self, value: Option<String>) -> MinVersion {
        match self.text("tls-min-version", value).as_deref() {
            None | Some("1.3") => MinVersion::Tls13,
            Some("1.2") => MinVersion::Tls12,
            Some(other) => {
                self.mistake(format!(
                    "--tls-min-version={other}: it must be 1.2 or 1.3; older versions are not safe \
                     and not spoken"
                ));
                MinVersion::Tls13
            }
        }
    }

    fn resources(&mut self, flag: &str, value: Option<String>, default: &str) -> Resources {
        let text = self.text(flag, value).unwrap_or_else(|| default.to_owned());
        match resources::parse(&text) {
            Ok(resources) => resources,
            Err(error) => {
                self.mistake(format!("--{flag}: {error}"));
                Resources::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: &[(&str, &str)] = &[
        ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
        ("PROXY_IMAGE", "registry.example.com/proxy:v1"),
    ];

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, Refusal> {
        let args = ["webhook"].iter().chain(args).map(OsString::from);
        Settings::read(contract::flags::from_go_syntax(args), |name| {
            let found = env.iter().chain(NEEDED).find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn mistakes(args: &[&str], env: &[(&str, &str)]) -> Vec<String> {
        match read(args, env) {
            Err(Refusal::Mistakes(mistakes)) => mistakes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_the_peers() {
        let settings = read(&[], &[]).unwrap();
        assert_eq!(settings.certificates, Certificates::Own);
        assert_eq!(settings.health_addr, ":9440");
        assert_eq!(settings.metrics_addr.as_deref(), Some(":8095"));
        assert_eq!(settings.port, 9443);
        assert_eq!(settings.tls_min_version, MinVersion::Tls13);
        assert_eq!(settings.namespace, "azure-workload-identity-system");
        let config = settings.config;
        assert_eq!(config.audience, "api://AzureADTokenExchange");
        assert_eq!(config.authority_host, "https://login.microsoftonline.com/");
        assert_eq!(config.sidecar.init_image, "registry.example.com/proxy:v1");
        assert_eq!(config.sidecar.log_level, "info");
        assert!(config.bindings.is_none());
    }

    #[test]
    fn flags_are_taken_in_gos_spelling_and_win_over_variables() {
        let env = [
            ("AZWI_PORT", "1"),
            ("AZWI_NATIVE_SIDECAR", "off"),
            ("PROXY_INIT_IMAGE", "registry.example.com/init:v1"),
        ];
        let args = [
            "-port=10443",
            "-log-level",
            "debug",
            "-disable-cert-rotation",
            "--webhook-cert-dir=/tls",
            "--metrics-addr=0",
            "--metrics-backend=prometheus",
        ];
        let settings = read(&args, &env).unwrap();
        assert_eq!(settings.port, 10443);
        assert_eq!(settings.native_sidecar, NativeSidecar::Off);
        assert_eq!(settings.certificates, Certificates::Files("/tls".into()));
        assert_eq!(settings.metrics_addr, None);
        assert_eq!(
            settings.config.sidecar.init_image,
            "registry.example.com/init:v1"
        );
        assert_eq!(settings.config.sidecar.log_level, "debug");
        for (text, expected) in [("=true", true), ("=false", false), ("=1", true)] {
            let flag = format!("--disable-cert-rotation{text}");
            let is_files = read(&[&flag], &[]).unwrap().certificates != Certificates::Own;
            assert_eq!(is_files, expected, "{flag}");
        }
    }

    #[test]
    fn every_mistake_is_found_in_one_run() {
        let args = [
            "--port=x",
            "--tls-min-version=1.1",
            "--health-addr=9440",
            "--log-level=loud",
            "--native-sidecar=perhaps",
            "--proxy-image-pull-policy=Sometimes",
            "--proxy-mode=none",
            "--max-connections=0",
            "--metrics-backend=statsd",
            "--metrics-namespace-label=perhaps",
            "--custom-token-endpoint-audience=a",
        ];
        let env = [
            ("AZURE_TENANT_ID", "a b"),
            ("AZURE_ENVIRONMENT", "Mars"),
            ("PROXY_IMAGE", ""),
        ];
        let mistakes = mistakes(&args, &env);
        for part in [
            "--port=x",
            "--proxy-mode=none: it must be redirect or environment",
            "--tls-min-version=1.1: it must be 1.2 or 1.3",
            "--health-addr=9440",
            "--log-level=loud",
            "--native-sidecar=perhaps",
            "--proxy-image-pull-policy=Sometimes",
            "--max-connections=0",
            "--metrics-backend",
            "--metrics-namespace-label=perhaps",
            "give both or neither",
            "AZURE_TENANT_ID=a b",
            "\"Mars\"",
            "PROXY_IMAGE is not set",
        ] {
            assert!(
                mistakes.iter().any(|it| it.contains(part)),
                "no {part:?} in {mistakes:#?}"
            );
        }
        assert_eq!(mistakes.len(), 14, "{mistakes:#?}");
    }

    #[test]
    fn what_no_proxy_could_use_is_refused_once() {
        for flag in [
            "--proxy-relay=none",
            "--proxy-relay=Deny",
            "--proxy-relay=/a,b",
            "--proxy-https-proxy=htps://user:secret@proxy",
            "--proxy-metrics-port=70000",
        ] {
            let Err(Refusal::Mistakes(mistakes)) = read(&[flag], &[]) else {
                panic!("{flag} is accepted");
            };
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(!mistakes[0].contains("secret"), "{mistakes:?}");
        }
        for flag in [
            "--proxy-relay=deny",
            "--proxy-relay=/a, /b",
            "--proxy-https-proxy=proxy:3128",
            "--proxy-https-proxy=HTTP://proxy:3128",
            "--proxy-metrics-port=0",
        ] {
            assert!(read(&[flag], &[]).is_ok(), "{flag}");
        }
    }

    #[test]
    fn identity_bindings_need_their_parts() {
        let flags = [
            "--custom-token-endpoint-annotation-suffix=identity-binding",
            "--custom-token-endpoint-audience=api://AKSIdentityBinding",
        ];
        let proxy = ("AZURE_KUBERNETES_TOKEN_PROXY", "https://proxy.example");
        let bindings = read(&flags, &[proxy]).unwrap().config.bindings.unwrap();
        assert_eq!(
            bindings.annotation,
            "azure.workload.identity/use-identity-binding"
        );
        assert_eq!(
            bindings.environment.len(),
            1,
            "no file is named that does not exist"
        );

        let map = ("AZURE_KUBERNETES_CA_CONFIGMAP_NAME", "ca");
        let bindings = read(&flags, &[proxy, map])
            .unwrap()
            .config
            .bindings
            .unwrap();
        assert!(bindings.ca.is_some());
        let file = ("AZURE_KUBERNETES_CA_FILE", inject::CA_FILE.to_owned());
        assert!(bindings.environment.contains(&file));

        assert_eq!(mistakes(&flags, &[]).len(), 1);
        let data = ("AZURE_KUBERNETES_CA_DATA", "PEM");
        let signer = ("AZURE_KUBERNETES_CA_CTB_SIGNER_NAME", "example.com/ca");
        assert_eq!(mistakes(&flags, &[proxy, map, data]).len(), 1);
        assert_eq!(mistakes(&flags, &[proxy, signer]).len(), 1);
        let same = ["--audience=api://AKSIdentityBinding", flags[0], flags[1]];
        assert!(mistakes(&same, &[proxy])[0].contains("differ"));
    }
}
