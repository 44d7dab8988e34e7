//! The injected containers accept every value that the webhook accepts.
//!
//! Settings and annotations are generated, the webhook's library patches a pod, and the readers of
//! proxy and proxy-init get the arguments and variables of its containers as the kubelet passes them.

use std::collections::BTreeMap;
use std::ffi::OsString;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use testkit::certificate::Authority;
use webhook::inject::Account;
use webhook::settings::Settings;

use crate::fixture::{Mutated, mutate, pod};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn injected_containers_accept_what_the_webhook_accepts(
        cluster in cluster(),
        account in account(),
        annotations in annotations(),
        native in any::<bool>(),
        host_network in proptest::bool::weighted(0.1),
    ) {
        if let Some(result) = injected(&cluster, &account, annotations, native, host_network) {
            check(&result)?;
        }
    }
}

/// The property above would hold if no pod was injected. This one is.
#[test]
fn a_pod_with_every_value_is_injected_and_accepted() {
    let certificate = certificate();
    let cluster = Cluster {
        flags: vec![
            "--authority-host=https://login.example:8443/base".to_owned(),
            "--proxy-https-proxy=http://user:p$(X)s@proxy:3128".to_owned(),
            "--proxy-no-proxy=10.0.0.0/8,.svc".to_owned(),
            "--proxy-relay=/metadata/instance, /a%2cb".to_owned(),
            "--proxy-log-level=all".to_owned(),
            "--proxy-metrics-port=9000".to_owned(),
        ],
        tenant: "contoso.com".to_owned(),
        ca_data: Some(certificate),
    };
    let account = [("client-id", GUID), ("tenant-id", "fabrikam.com")];
    let account = account.map(|(name, value)| (name, value.to_owned())).into();
    let annotations = [
        (
            "identity-map",
            format!("/Subscriptions/s={GUID}; AB={GUID}"),
        ),
        ("proxy-linger-seconds", " 60 ".to_owned()),
        ("proxy-quit", " True ".to_owned()),
        ("proxy-sidecar-port", " 8123 ".to_owned()),
        (
            "proxy-prefetch",
            " https://vault.azure.net,\napi://a ".to_owned(),
        ),
        ("proxy-verify", " enforce\n".to_owned()),
    ];
    for (mode, native) in [("redirect", true), ("environment", false)] {
        let mut annotations = annotations.to_vec();
        annotations.push(("proxy-mode", mode.to_owned()));
        let result = injected(&cluster, &account, annotations, native, false).unwrap();
        check(&result).unwrap();
    }
}

/// Both containers accept their arguments and variables, and agree on the port.
fn check(result: &Mutated) -> Result<(), TestCaseError> {
    let proxy = Started::new(result.container("azwi-proxy"));
    let command = proxy::cli::Command::parse(proxy.args.clone(), |name| proxy.variable(name));
    let config = match command {
        Ok(proxy::cli::Command::Serve(config)) => config,
        other => return Err(TestCaseError::fail(format!("{other:?} of {proxy:?}"))),
    };
    for probe in &proxy.probes {
        let command = proxy::cli::Command::parse(probe.clone(), |name| proxy.variable(name));
        match command {
            Ok(proxy::cli::Command::Probe { port, .. }) => prop_assert_eq!(port, config.port),
            other => return Err(TestCaseError::fail(format!("{other:?} of {proxy:?}"))),
        }
    }
    if result.names("initContainers").contains(&"azwi-proxy-init") {
        let init = Started::new(result.container("azwi-proxy-init"));
        let redirect = proxy_init::config::Config::from_environment(|name| init.variable(name));
        let redirect = redirect.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(redirect.proxy_port, config.port);
    }
    Ok(())
}

/// The patched pod; `None` if the webhook refuses the settings or the pod, or warns of its account.
fn injected(
    cluster: &Cluster,
    account: &BTreeMap<&'static str, String>,
    annotations: Vec<(&'static str, String)>,
    native: bool,
    host_network: bool,
) -> Option<Mutated> {
    let args = ["webhook".to_owned()]
        .into_iter()
        .chain(cluster.flags.clone());
    let settings = Settings::read(args.map(OsString::from), |name| match name {
        "AZURE_TENANT_ID" => Some(cluster.tenant.clone().into()),
        "AZURE_KUBERNETES_TOKEN_PROXY" => Some("https://proxy.example".into()),
        "PROXY_IMAGE" => Some("registry.example.com/proxy:v1".into()),
        _ => None,
    });
    let mut config = settings.ok()?.config;
    config.sidecar.native = native;
    if let Some(data) = &cluster.ca_data {
        data.parse::<contract::value::CaData>().ok()?;
        config
            .sidecar
            .environment
            .push(("AZWI_CA_DATA", data.clone()));
    }
    let account = account
        .iter()
        .map(|(name, value)| (key(name), value.clone()));
    let account = Account::read(&account.collect(), &BTreeMap::new()).unwrap_or_default();
    let mut all = json!({ key("inject-proxy-sidecar"): "true" });
    for (name, value) in annotations {
        all[key(name)] = value.into();
    }
    let spec = json!({ "hostNetwork": host_network, "containers": [{ "name": "app" }] });
    let result = mutate(&pod(all, spec), &config, &account).ok()?;
    // An invalid value of the account causes a warning, and the pod is admitted with it.
    let is_warned = result
        .warnings
        .iter()
        .any(|it| it.contains("that is not a"));
    (!is_warned).then_some(result)
}

/// A container as the kubelet starts it.
#[derive(Debug)]
struct Started {
    args: Vec<OsString>,
    probes: Vec<Vec<OsString>>,
    variables: BTreeMap<String, String>,
}

impl Started {
    fn new(container: &Value) -> Self {
        // Services called like our variables, in a pod with enableServiceLinks.
        let links = [
            "METADATA_PORT",
            "AZWI_METRICS_PORT",
            "AZWI_PROXY_PORT",
            "PROXY_PORT",
        ];
        let mut variables: BTreeMap<_, _> = links
            .map(|name| (name.to_owned(), "tcp://10.0.0.5:80".to_owned()))
            .into();
        for variable in container["env"].as_array().into_iter().flatten() {
            let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap());
            let value = expanded(value, &variables);
            variables.insert(name.to_owned(), value);
        }
        let words = |list: &Value| -> Vec<OsString> {
            let words = list.as_array().into_iter().flatten();
            let words = words.map(|word| expanded(word.as_str().unwrap(), &variables).into());
            words.collect()
        };
        let mut args = vec![OsString::from("/proxy")];
        args.extend(words(&container["args"]));
        let probes = [words(
            &container["lifecycle"]["postStart"]["exec"]["command"],
        )];
        let probes = probes.into_iter().filter(|words| !words.is_empty());
        Self {
            args,
            probes: probes.collect(),
            variables,
        }
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).map(Into::into)
    }
}

/// `$(NAME)` and `$$` replaced (k8s.io/kubernetes/third_party/forked/golang/expansion).
fn expanded(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let reference = after.strip_prefix('(').and_then(|it| it.split_once(')'));
        rest = if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            after
        } else if let Some((name, after)) = reference {
            match variables.get(name) {
                Some(value) => result.push_str(value),
                None => result.push_str(&format!("$({name})")),
            }
            after
        } else {
            result.push('$');
            after
        };
    }
    result + rest
}

#[derive(Clone, Debug)]
struct Cluster {
    flags: Vec<String>,
    tenant: String,
    ca_data: Option<String>,
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let urls = r"https?://(user:[a-z#%:@|$()]{1,4}@)?([a-zA-Z0-9._-]{1,6}|[0-9.]{1,7}|\[[0-9a-f:]{1,6}\])(:[0-9]{2,5})?[a-z/?$(]{0,3}";
    let flag = prop_oneof![
        values(
            "authority-host",
            &[
                "https://login.example",
                "https://[::/",
                "https://login.example:99999/",
                "https://a/$(AZURE_TENANT_ID)"
            ],
            urls
        ),
        values(
            "proxy-https-proxy",
            &[
                "proxy:3128",
                "http://user:p#ss@proxy:3128",
                "http://u:$(AZURE_TENANT_ID)@p",
                "socks5://p"
            ],
            urls
        ),
        values(
            "proxy-no-proxy",
            &["10.0.0.0/8,.svc", "*", "a\nb", "$(AZWI_RELAY)"],
            "\\PC{0,8}"
        ),
        values(
            "proxy-relay",
            &[
                "allow",
                " deny ",
                "/a/%zz",
                "/a, /b",
                "/a%2cb,/$(PROXY_PORT)"
            ],
            "/[a-z%2c;. $()]{0,6}(,/[a-z%25]{0,6}){0,2}"
        ),
        values("log-level", &["all", "info", "loud", ""], "[a-z ]{0,5}"),
        values(
            "proxy-log-level",
            &["all", " debug", "loud", ""],
            "[a-z ]{0,5}"
        ),
        values(
            "proxy-metrics-port",
            &["0", "8000", "65536", "tcp://10.0.0.5:80"],
            "[+0-9]{0,5}"
        ),
        values(
            "proxy-linger-seconds",
            &["60", "0", "now", "linger"],
            "[+0-9]{0,6}"
        ),
        values("proxy-quit", &["on", " off", "true"], "[a-z]{0,3}"),
        values(
            "proxy-mode",
            &["redirect", "environment", "none"],
            "[a-z]{0,3}"
        ),
    ];
    let bindings = [
        "--custom-token-endpoint-annotation-suffix=identity-binding",
        "--custom-token-endpoint-audience=api://AKSIdentityBinding",
    ];
    let bindings = prop_oneof![3 => Just(vec![]), 1 => Just(bindings.map(str::to_owned).to_vec())];
    let tenant = prop_oneof![
        3 => select(vec!["contoso.com", "..", ".", "a b", GUID]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9./ -]{1,5}",
    ];
    let certificate = certificate();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let mixed = format!("{certificate}{broken}");
    let ca_data = option::of(select(vec![
        certificate,
        broken.to_owned(),
        mixed,
        "PEM".to_owned(),
    ]));
    let flags = proptest::collection::vec(flag, 0..3);
    (flags, bindings, tenant, ca_data).prop_map(|(mut flags, bindings, tenant, ca_data)| {
        flags.extend(bindings);
        Cluster {
            flags,
            tenant,
            ca_data,
        }
    })
}

/// A flag with a known value or with any.
fn values(
    flag: &'static str,
    known: &[&'static str],
    any: &'static str,
) -> impl Strategy<Value = String> + use<> {
    let value = prop_oneof![select(known.to_vec()).prop_map(str::to_owned), any];
    value.prop_map(move |value| format!("--{flag}={value}"))
}

fn account() -> impl Strategy<Value = BTreeMap<&'static str, String>> {
    let client = select(vec![
        GUID,
        " 1B4DB7EB-4057-5DDF-91E0-36DEC72071F5\n",
        "my-app",
        "$(X)",
    ]);
    let tenant = select(vec!["contoso.com", "..", "a/b"]);
    (option::of(client), option::of(tenant)).prop_map(|(client, tenant)| {
        let client = client.map(|it| ("client-id", it.to_owned()));
        let tenant = tenant.map(|it| ("tenant-id", it.to_owned()));
        client.into_iter().chain(tenant).collect()
    })
}

fn annotations() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let map = prop_oneof![
        Just(format!("/a={GUID}; B={GUID},\n")),
        Just(format!("={GUID}")),
        Just(format!("$(AZURE_CLIENT_ID)={GUID}")),
        "[a-z=;,]{0,6}",
    ];
    let port = prop_oneof![Just("8000".to_owned()), "[ +0-9]{0,6}"];
    let mode = select(vec!["redirect", " environment ", "env"]);
    let linger = prop_oneof![Just("60".to_owned()), "[ +0-9]{0,6}|now"];
    let quit = select(vec!["true", " False ", "on"]);
    let of_plain = (option::of(linger), option::of(quit));
    let resources = prop_oneof![
        Just("https://vault.azure.net, https://vault.azure.net/".to_owned()),
        Just("https://a/.default".to_owned()),
        "[a-z:/.$() \n,]{0,12}",
    ];
    let verify = select(vec!["warn", " enforce\n", "on"]);
    let start = (option::of(resources), option::of(verify));
    let binding = any::<bool>();
    (
        option::of(map),
        option::of(port),
        option::of(mode),
        of_plain,
        start,
        binding,
    )
        .prop_map(
            |(map, port, mode, (linger, quit), (resources, verify), binding)| {
                let annotations = [
                    map.map(|it| ("identity-map", it)),
                    port.map(|it| ("proxy-sidecar-port", it)),
                    mode.map(|it| ("proxy-mode", it.to_owned())),
                    linger.map(|it| ("proxy-linger-seconds", it)),
                    quit.map(|it| ("proxy-quit", it.to_owned())),
                    resources.map(|it| ("proxy-prefetch", it)),
                    verify.map(|it| ("proxy-verify", it.to_owned())),
                    binding.then(|| ("use-identity-binding", "true".to_owned())),
                ];
                annotations.into_iter().flatten().collect()
            },
        )
}

fn certificate() -> String {
    let authority = Authority::new("ca.example").unwrap();
    authority.certificate().to_owned()
}

fn key(name: &str) -> String {
    format!("azure.workload.identity/{name}")
}

const GUID: &str = "1b4db7eb-4057-5ddf-91e0-36dec72071f5";
