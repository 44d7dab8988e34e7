//! The command line and the environment. Every mistake is found before any is reported.

mod arguments;
mod bindings;
mod cloud;
mod resources;
mod values;
mod variables;

use std::ffi::OsString;
use std::path::PathBuf;

use contract::log::{LogFormat, LogLevel};
use contract::value::{Tenant, Toggle};
use contract::variable::{self, literal};
use service_kit::settings::{self, Mistakes};

pub use service_kit::settings::UsageError;

use crate::certificate::tls::MinVersion;
use crate::inject::{Config, Sidecar};
use crate::version::NativeSidecar;
use arguments::Arguments;
use variables::Variables;

/// The webhook's name in log filters.
pub const CRATE: &str = env!("CARGO_CRATE_NAME");

/// The webhook's configuration.
#[derive(Debug)]
pub struct Settings {
    /// Where the serving certificate comes from.
    pub certificates: Certificates,
    /// The injection settings. `native` is decided later if `native_sidecar` is automatic.
    pub config: Config,
    /// The address of `/healthz` and `/readyz`, in Go's form.
    pub health_addr: String,
    /// A file with the API server's address.
    pub kubeconfig: Option<PathBuf>,
    /// The log's format.
    pub log_format: LogFormat,
    /// The log's level.
    pub log_level: LogLevel,
    /// The most connections of API servers that are open at once.
    pub max_connections: u32,
    /// The address of `/metrics`, in Go's form; `None` for no metrics.
    pub metrics_addr: Option<String>,
    /// Whether durations are recorded by namespace.
    pub metrics_by_namespace: bool,
    /// The webhook's own namespace.
    pub namespace: String,
    /// Whether the proxy is a native sidecar.
    pub native_sidecar: NativeSidecar,
    /// The port of the admission listener.
    pub port: u16,
    /// A file with certificates that the proxies trust besides the public roots.
    pub proxy_ca_file: Option<PathBuf>,
    /// The oldest TLS version of the admission listener.
    pub tls_min_version: MinVersion,
}

/// Where the serving certificate comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Certificates {
    /// `tls.crt` and `tls.key` in this directory.
    Files(PathBuf),
    /// The webhook creates it and registers it with the API server.
    Own,
}

impl Settings {
    /// Reads flags, and environment variables through `variable`. An empty value counts as absent.
    ///
    /// # Errors
    ///
    /// Every mistake at once, or an unknown flag.
    pub fn read(
        args: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, UsageError> {
        let arguments = settings::parse(args, &variable)?;
        let mut mistakes = Mistakes::default();
        let settings = Self::check(arguments, &Variables(&variable), &mut mistakes);
        Ok(mistakes.finish(settings)?)
    }

    /// Reads all values before it fails, so that it reports all mistakes.
    fn check(
        mut arguments: Arguments,
        variables: &Variables<'_>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let config = config(&mut arguments, variables, mistakes);
        let disable_cert_rotation =
            mistakes.read("--disable-cert-rotation", arguments.disable_cert_rotation);
        let health_addr = mistakes.read("--health-addr", arguments.health_addr);
        let log_format = mistakes.read("--log-format", arguments.log_format);
        let log_level = mistakes.read("--log-level", arguments.log_level);
        let max_connections = mistakes.read("--max-connections", arguments.max_connections);
        let metrics_addr = mistakes.read("--metrics-addr", arguments.metrics_addr);
        mistakes.read("--metrics-backend", arguments.metrics_backend);
        let by_namespace = mistakes.read(
            "--metrics-namespace-label",
            arguments.metrics_namespace_label,
        );
        let native_sidecar = mistakes.read("--native-sidecar", arguments.native_sidecar);
        let port = mistakes.read("--port", arguments.port);
        let tls_min_version = mistakes.read("--tls-min-version", arguments.tls_min_version);
        let certificates = if disable_cert_rotation?.0 {
            Certificates::Files(arguments.webhook_cert_dir)
        } else {
            Certificates::Own
        };
        Some(Self {
            certificates,
            config: config?,
            health_addr: health_addr?.0,
            kubeconfig: arguments.kubeconfig,
            log_format: log_format?,
            log_level: log_level?,
            max_connections: max_connections?.0.get(),
            metrics_addr: metrics_addr?.0.map(|address| address.0),
            metrics_by_namespace: by_namespace?.0,
            namespace: variables
                .text("POD_NAMESPACE")
                .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            native_sidecar: native_sidecar?,
            port: port?,
            proxy_ca_file: arguments.proxy_ca_file,
            tls_min_version: tls_min_version?,
        })
    }
}

/// Reads the injection settings.
fn config(
    arguments: &mut Arguments,
    variables: &Variables<'_>,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    let audience = mistakes.read("--audience", arguments.audience.clone());
    let authority = cloud::authority(variables, arguments.authority_host.take(), mistakes);
    let tenant = variables.required::<Tenant>(
        variable::TENANT_ID,
        "the Microsoft Entra tenant that tokens are requested from",
        mistakes,
    );
    let bindings = bindings::read(
        variables,
        arguments.custom_token_endpoint_annotation_suffix.take(),
        arguments.custom_token_endpoint_audience.take(),
        mistakes,
    );
    let sidecar = sidecar(arguments, variables, mistakes);
    let audience = audience?;
    if bindings.as_ref().is_some_and(|it| it.audience == audience) {
        mistakes.add("--custom-token-endpoint-audience: it must differ from --audience");
    }
    Some(Config {
        audience,
        authority_host: literal(&authority?.to_string()),
        tenant_id: tenant?.to_string(),
        sidecar: sidecar?,
        bindings,
    })
}

/// Reads the settings of the injected containers.
fn sidecar(
    arguments: &mut Arguments,
    variables: &Variables<'_>,
    mistakes: &mut Mistakes,
) -> Option<Sidecar> {
    let image =
        variables.required::<String>("PROXY_IMAGE", "the image of the injected proxy", mistakes);
    let pull_policy = mistakes.read(
        "--proxy-image-pull-policy",
        arguments.proxy_image_pull_policy.clone(),
    );
    let mode = mistakes.read("--proxy-mode", arguments.proxy_mode.clone());
    let own_level = arguments.log_level.text().to_owned();
    let log_level = arguments.proxy_log_level.take().map(|level| {
        let text = level.text().to_owned();
        mistakes.read("--proxy-log-level", level);
        text
    });
    let linger = arguments.proxy_linger_seconds.take();
    let linger = linger.and_then(|it| mistakes.read("--proxy-linger-seconds", it));
    let metrics_port = mistakes.read("--proxy-metrics-port", arguments.proxy_metrics_port.clone());
    let quit = mistakes.read("--proxy-quit", arguments.proxy_quit.clone());
    let resources = mistakes.read("--proxy-resources", arguments.proxy_resources.clone());
    let net_raw = mistakes.read("--proxy-init-net-raw", arguments.proxy_init_net_raw.clone());
    let init_resources = mistakes.read(
        "--proxy-init-resources",
        arguments.proxy_init_resources.clone(),
    );
    let seccomp_profile = mistakes.read(
        "--proxy-seccomp-profile",
        arguments.proxy_seccomp_profile.clone(),
    );
    let environment = environment(arguments, mistakes);
    let image = image?;
    Some(Sidecar {
        init_image: variables
            .text("PROXY_INIT_IMAGE")
            .unwrap_or_else(|| image.clone()),
        image,
        pull_policy: pull_policy?.0,
        mode: mode?,
        linger_seconds: linger,
        log_level: log_level.unwrap_or(own_level),
        metrics_port: metrics_port.filter(|port| *port != 0),
        native: false,
        quit: quit? == Toggle::On,
        resources: resources?,
        init_net_raw: net_raw?.0,
        init_resources: init_resources?,
        seccomp_profile: seccomp_profile?,
        environment,
    })
}

/// Reads the variables of the proxy that are the same in all pods.
fn environment(arguments: &mut Arguments, mistakes: &mut Mistakes) -> Vec<(&'static str, String)> {
    let https_proxy = arguments.proxy_https_proxy.take();
    let https_proxy = https_proxy.and_then(|it| mistakes.read_secret("--proxy-https-proxy", it));
    let no_proxy = arguments.proxy_no_proxy.take();
    let no_proxy = no_proxy.and_then(|it| mistakes.read("--proxy-no-proxy", it));
    let loopback = arguments.proxy_loopback.take();
    let loopback = loopback.and_then(|it| mistakes.read("--proxy-loopback", it));
    // `off` is the proxy's own choice in mode redirect. In mode environment, SDKs ask there.
    let loopback = loopback.filter(|it| *it == Toggle::On);
    let relay = arguments.proxy_relay.take();
    let relay = relay.and_then(|it| mistakes.read("--proxy-relay", it));
    [
        ("HTTPS_PROXY", https_proxy.map(|it| it.to_string())),
        ("NO_PROXY", no_proxy.map(|it| it.to_string())),
        (variable::LOOPBACK, loopback.map(|it| it.to_string())),
        (variable::RELAY, relay.map(|it| it.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, literal(&value?))))
    .collect()
}

/// The namespace if `POD_NAMESPACE` is not set.
const DEFAULT_NAMESPACE: &str = "azure-workload-identity-system";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject;

    const NEEDED: &[(&str, &str)] = &[
        ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
        ("PROXY_IMAGE", "registry.example.com/proxy:v1"),
    ];

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, UsageError> {
        let args = ["webhook"].iter().chain(args).map(OsString::from);
        Settings::read(args, |name| {
            let found = env.iter().chain(NEEDED).find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn mistakes(args: &[&str], env: &[(&str, &str)]) -> Vec<String> {
        match read(args, env) {
            Err(UsageError::Configuration(error)) => error.mistakes().to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn certificate() -> String {
        let authority = testkit::certificate::Authority::new("ca.example").unwrap();
        authority.certificate().to_owned()
    }

    #[test]
    fn has_the_defaults_of_upstream() {
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
    fn the_last_of_two_flags_wins_as_in_go() {
        let args = ["--audience=a", "--tls-min-version=1.2", "-audience", "b"];
        assert_eq!(read(&args, &[]).unwrap().config.audience, "b");
    }

    #[test]
    fn accepts_flags_in_gos_spelling_and_prefers_them_to_variables() {
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
            "--metrics-backend=Prometheus",
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
        let named = [
            "--health-addr=localhost:9440",
            "-metrics-addr",
            "0.0.0.0:80",
        ];
        let settings = read(&[&named[..], &["-kubeconfig=/k"]].concat(), &[]).unwrap();
        assert_eq!(settings.health_addr, "localhost:9440");
        assert_eq!(settings.metrics_addr.as_deref(), Some("0.0.0.0:80"));
        assert_eq!(settings.kubeconfig, Some("/k".into()));
        for bad in [
            "localhost",
            "localhost:x",
            "local host:80",
            ":",
            "http://a:80",
        ] {
            let mistakes = mistakes(&[&format!("--metrics-addr={bad}")], &[]);
            assert!(mistakes[0].contains("address:port"), "{mistakes:?}");
        }
        for (text, expected) in [("=true", true), ("=false", false), ("=1", true)] {
            let flag = format!("--disable-cert-rotation{text}");
            let is_files = read(&[&flag], &[]).unwrap().certificates != Certificates::Own;
            assert_eq!(is_files, expected, "{flag}");
        }
    }

    #[test]
    fn reports_every_mistake_at_once() {
        let args = [
            "--port=x",
            "--tls-min-version=1.1",
            "--health-addr=9440",
            "--log-level=loud",
            "--native-sidecar=perhaps",
            "--proxy-image-pull-policy=Sometimes",
            "--proxy-mode=none",
            "--proxy-linger-seconds=now",
            "--proxy-quit=true",
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
            "--proxy-linger-seconds=now: it must be a number of seconds from 1 to 86400",
            "--proxy-quit=true: it must be on or off",
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
        assert_eq!(mistakes.len(), 16, "{mistakes:#?}");
    }

    /// Each once made every proxy exit with 64 at its start.
    #[test]
    fn rejects_values_that_no_proxy_accepts_in_the_proxys_words() {
        for (flag, env, sentence) in [
            ("--proxy-relay=/a/%zz", None, "is not a relay policy"),
            ("--proxy-relay=none", None, "is not a relay policy"),
            ("--proxy-relay=Deny", None, "is not a relay policy"),
            ("--proxy-relay=/a,b", None, "is not a relay policy"),
            (
                "--port=9443",
                Some(("AZURE_TENANT_ID", "..")),
                "is neither a GUID nor a domain",
            ),
            (
                "--proxy-https-proxy=http://user:p#ss@proxy:3128",
                None,
                "has characters that must be percent-encoded",
            ),
            (
                "--proxy-https-proxy=htps://user:p@ss@proxy",
                None,
                "is neither http nor https",
            ),
            (
                "--proxy-https-proxy=socks5://user:p@ss@proxy",
                None,
                "is a SOCKS proxy",
            ),
            ("--authority-host=https://[::/", None, "is not a URL"),
            (
                "--authority-host=https://login.example:99999/",
                None,
                "is not a URL",
            ),
            ("--proxy-metrics-port=70000", None, "70000"),
            ("--proxy-no-proxy=a\nb", None, "control characters"),
        ] {
            let mistakes = mistakes(&[flag], env.as_slice());
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].contains(sentence), "{mistakes:?}");
            assert!(!mistakes[0].contains("ss@"), "{mistakes:?}");
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
    fn the_proxies_answer_on_the_loopback_address_only_if_it_is_switched_on() {
        for (flags, wanted) in [
            (&[][..], &[][..]),
            (&["--proxy-loopback=off"], &[]),
            (
                &["--proxy-loopback=on"],
                &[("AZWI_LOOPBACK", "on".to_owned())],
            ),
        ] {
            let environment = read(flags, &[]).unwrap().config.sidecar.environment;
            assert_eq!(environment, wanted, "{flags:?}");
        }
        assert!(mistakes(&["--proxy-loopback=yes"], &[])[0].contains("on or off"));
    }

    #[test]
    fn the_kubelet_expands_no_value() {
        let flags = [
            "--proxy-https-proxy=http://user:$(HOME)@proxy",
            "--proxy-no-proxy=$HOME",
        ];
        let environment = read(&flags, &[]).unwrap().config.sidecar.environment;
        let values: Vec<_> = environment
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(values, ["http://user:$$(HOME)@proxy", "$$HOME"]);
    }

    #[test]
    fn identity_bindings_need_all_their_parts() {
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

        // Each pod may set its own endpoint, but a part of one is refused by the SDKs.
        let bindings = read(&flags, &[]).unwrap().config.bindings.unwrap();
        assert_eq!(bindings.environment, []);
        for part in [map, ("AZURE_KUBERNETES_SNI_NAME", "proxy.example")] {
            assert!(
                mistakes(&flags, &[part])[0].starts_with("AZURE_KUBERNETES_TOKEN_PROXY is not set")
            );
        }
        let certificate = certificate();
        let data = ("AZURE_KUBERNETES_CA_DATA", certificate.as_str());
        let signer = ("AZURE_KUBERNETES_CA_CTB_SIGNER_NAME", "example.com/ca");
        assert_eq!(mistakes(&flags, &[proxy, map, data]).len(), 1);
        assert_eq!(mistakes(&flags, &[proxy, signer]).len(), 1);
        for (name, value) in [
            ("AZURE_KUBERNETES_TOKEN_PROXY", "https://user@proxy.example"),
            ("AZURE_KUBERNETES_SNI_NAME", "10.0.0.1"),
            ("AZURE_KUBERNETES_CA_DATA", "PEM"),
        ] {
            let mistakes = mistakes(&flags, &[(name, value), proxy]);
            assert!(mistakes[0].starts_with(name), "{mistakes:?}");
        }
        let same = ["--audience=api://AKSIdentityBinding", flags[0], flags[1]];
        assert!(mistakes(&same, &[proxy])[0].contains("differ"));
    }

    /// As upstream, which refuses both at its start.
    #[test]
    fn refuses_the_default_audience_and_a_suffix_that_makes_no_annotation() {
        let suffix = |text: &str| format!("--custom-token-endpoint-annotation-suffix={text}");
        let audience = "--custom-token-endpoint-audience=api://AKSIdentityBinding";
        let longest = "a".repeat(59);
        for good in ["identity-binding", "a.b_C", "-a", &longest] {
            assert!(read(&[&suffix(good), audience], &[]).is_ok(), "{good}");
        }
        let too_long = "a".repeat(60);
        for bad in ["a/b", "a b", "binding-", "é", &too_long] {
            let mistakes = mistakes(&[&suffix(bad), audience], &[]);
            assert!(
                mistakes[0].contains("is no annotation"),
                "{bad}: {mistakes:?}"
            );
        }
        for default in ["api://AzureADTokenExchange", "api://azureadtokenexchange"] {
            let default = format!("--custom-token-endpoint-audience={default}");
            for own in ["--audience=other", "--audience="] {
                let mistakes = mistakes(&[&suffix("a"), &default, own], &[]);
                assert!(mistakes[0].contains("the default audience"), "{mistakes:?}");
            }
        }
    }
}
