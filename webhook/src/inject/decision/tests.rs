//! Decisions, compared as values.

use serde_json::{Value as Json, json};

use super::*;
use crate::inject::input::account::Account;
use crate::inject::input::pod::{List, Place};
use crate::inject::input::seed::Seed;
use crate::inject::output::additions::{
    ContainerAdditions, Move, NewContainer, NewContainers, Replacement,
};
use crate::inject::output::manifest::{EnvVar, Projected, Source, Value, Volume, VolumeMount};
use crate::inject::policy::config::PodSecurity;
use crate::inject::policy::config::{Config, Mode, Sidecar};
use crate::inject::policy::resources::Resources;
use crate::inject::policy::seccomp::SeccompProfile;
use crate::inject::request::resources::Overrides;

#[test]
fn adds_token_and_identity_to_each_container() {
    let pod = pod(
        &[],
        json!({ "initContainers": [{ "name": "early" }], "containers": [{ "name": "app" }] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, warnings| {
        let of = |list| ContainerAdditions {
            mounts: vec![mount("azure-identity-token")],
            variables: identity_variables(),
            ..nothing(list, 0)
        };
        assert_eq!(
            additions.containers,
            [of(List::InitContainers), of(List::Containers)]
        );
        assert_eq!(additions.volumes, [token_volume()]);
        assert_eq!(additions.new_containers, []);
        assert_eq!(
            additions.annotations,
            [marker(r#"{"clientId":"client","tenantId":"tenant"}"#)].into()
        );
        assert_eq!(warnings, [] as [String; 0]);
    });
}

#[test]
fn leaves_a_users_variable_alone_whatever_its_value() {
    let env = json!([{ "name": "AZURE_CLIENT_ID", "value": "" }, { "name": "AZURE_TENANT_ID", "valueFrom": {} }]);
    let pod = pod(
        &[],
        json!({ "containers": [{ "name": "app", "env": env }] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, _| {
        let variables: Vec<_> = identity_variables().split_off(2);
        assert_eq!(
            additions.containers,
            [ContainerAdditions {
                mounts: vec![mount("azure-identity-token")],
                variables,
                ..nothing(List::Containers, 0)
            }]
        );
    });
}

#[test]
fn uses_a_volume_that_projects_the_token_already() {
    let token = json!({ "audience": "audience", "path": "sub/token" });
    let pod = pod(
        &[],
        json!({
            "containers": [
                { "name": "app", "volumeMounts": [{ "name": "theirs", "mountPath": "/identity/" }] },
                { "name": "late" },
            ],
            "volumes": [{ "name": "theirs", "projected": { "sources": [{ "serviceAccountToken": token }] } }],
        }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, _| {
        assert_eq!(additions.volumes, []);
        let [app, late] = additions.containers.as_slice() else {
            panic!("{additions:?}");
        };
        assert_eq!(app.mounts, []);
        assert_eq!(late.mounts, [mount("theirs")]);
        let file = |directory| EnvVar {
            name: "AZURE_FEDERATED_TOKEN_FILE",
            value: Value::File {
                directory,
                file: "sub/token",
            },
        };
        assert_eq!(app.variables[2], file("/identity"));
        assert_eq!(late.variables[2], file("/var/run/secrets/azure/tokens"));
    });
}

#[test]
fn replaces_an_injected_identity_and_keeps_the_users_azwi_1475() {
    let set =
        |value: &str| json!([{ "name": "OTHER" }, { "name": "AZURE_CLIENT_ID", "value": value }]);
    let earlier = r#"{"clientId":"former","tenantId":"tenant","kept":["own/AZURE_CLIENT_ID"]}"#;
    let pod = pod(
        &[("injected", earlier)],
        json!({ "containers": [
            { "name": "app", "env": set("former") },
            { "name": "own", "env": set("former") },
            { "name": "other", "env": set("users") },
        ] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, _| {
        let replacements: Vec<_> = additions
            .containers
            .iter()
            .map(|it| &*it.replacements)
            .collect();
        let expected = [Replacement {
            variable: "AZURE_CLIENT_ID",
            index: 1,
            value: CLIENT,
        }];
        assert_eq!(replacements, [expected.as_slice(), &[], &[]]);
        let text = r#"{"clientId":"client","tenantId":"tenant","kept":["own/AZURE_CLIENT_ID"]}"#;
        assert_eq!(additions.annotations, [marker(text)].into());
    });
}

#[test]
fn warns_when_a_replacement_takes_the_client_id_away() {
    let earlier = r#"{"clientId":"former","tenantId":"tenant"}"#;
    let env = json!([{ "name": "AZURE_CLIENT_ID", "value": "former" }]);
    let pod = pod(
        &[("injected", earlier)],
        json!({ "containers": [{ "name": "app", "env": env }] }),
    );
    decide_with(&pod, config(true), "", |additions, _, warnings| {
        assert_eq!(additions.containers[0].replacements[0].value, "");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("AZURE_CLIENT_ID is not set"));
    });
}

#[test]
fn marks_variables_that_the_user_set_to_the_injected_value() {
    let env = json!([{ "name": "AZURE_CLIENT_ID", "value": CLIENT }]);
    let pod = pod(
        &[],
        json!({ "containers": [{ "name": "app", "env": env }] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, _| {
        let text = r#"{"clientId":"client","tenantId":"tenant","kept":["app/AZURE_CLIENT_ID"]}"#;
        assert_eq!(additions.annotations, [marker(text)].into());
    });
}

#[test]
fn inserts_a_native_sidecar_behind_the_redirect() {
    let pod = pod(
        &[PROXY],
        json!({ "initContainers": [{ "name": "early" }], "containers": [{ "name": "app" }] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, config, _| {
        let overrides = Overrides::default();
        let form = usual(&overrides);
        let mut variables = identity_variables();
        let key = EnvVar::text("AZWI_RELAY_KEY", "07070707070707070707070707070707");
        let port = EnvVar {
            name: "PROXY_PORT",
            value: Value::Number(8000),
        };
        variables.push(EnvVar::text("AZWI_CA_DATA", "PEM"));
        variables.push(key);
        variables.push(EnvVar::text("AZWI_SHUTDOWN", "now"));
        assert_eq!(
            additions.new_containers,
            [NewContainers {
                at: place(List::InitContainers, 0),
                containers: vec![
                    NewContainer {
                        template: config.proxy_init(&form),
                        variables: vec![port, key],
                        mounts: Vec::new(),
                    },
                    NewContainer {
                        template: config.proxy(&form),
                        variables,
                        mounts: vec![mount("azure-identity-token")],
                    },
                ],
            }]
        );
        assert!(!additions.annotations.contains_key(DEFAULT));
    });
}

#[test]
fn inserts_a_plain_sidecar_first_and_keeps_kubectls_default() {
    let pod = pod(&[PROXY], json!({ "containers": [{ "name": "app" }] }));
    decide_with(&pod, config(false), CLIENT, |additions, config, _| {
        let overrides = Overrides::default();
        let form = usual(&overrides);
        let [main, init] = additions.new_containers.as_slice() else {
            panic!("{additions:?}");
        };
        assert_eq!(main.at, place(List::Containers, 0));
        assert_eq!(main.containers[0].template, config.proxy(&form));
        assert_eq!(init.at, place(List::InitContainers, 0));
        assert_eq!(init.containers[0].template, config.proxy_init(&form));
        assert_eq!(additions.annotations[DEFAULT], "app");
    });
}

#[test]
fn inserts_the_sidecar_behind_a_redirect_that_is_there() {
    let redirect =
        json!({ "name": "azwi-proxy-init", "image": "proxy", "command": ["/proxy-init"] });
    let init = json!([{ "name": "mesh" }, redirect]);
    let pod = pod(
        &[PROXY],
        json!({ "initContainers": init, "containers": [] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, warnings| {
        let [new] = additions.new_containers.as_slice() else {
            panic!("{additions:?}");
        };
        assert_eq!(additions.moves, [Move { from: 1, to: 0 }]);
        assert_eq!(new.at, place(List::InitContainers, 1));
        assert_eq!(new.containers.len(), 1);
        assert_eq!(warnings, [] as [String; 0]);
    });
}

#[test]
fn moves_its_init_containers_to_the_front() {
    let redirect =
        json!({ "name": "azwi-proxy-init", "image": "proxy", "command": ["/proxy-init"] });
    let proxy = json!({ "name": "azwi-proxy", "image": "proxy:old", "restartPolicy": "Always" });
    let [a, b] = ["a", "b"].map(|name| json!({ "name": name }));
    let moved = |from, to| Move { from, to };
    for (init, moves) in [
        (json!([redirect, proxy, a, b]), vec![]),
        (
            json!([a, redirect, b, proxy]),
            vec![moved(1, 0), moved(3, 1)],
        ),
        // The redirect pushes the proxy back.
        (
            json!([a, proxy, b, redirect]),
            vec![moved(3, 0), moved(2, 1)],
        ),
        (json!([proxy, redirect, a]), vec![moved(1, 0)]),
        // A new redirect is inserted before the moved proxy.
        (json!([a, b, proxy]), vec![moved(2, 0)]),
    ] {
        let pod = pod(
            &[PROXY],
            json!({ "initContainers": init, "containers": [] }),
        );
        decide_with(&pod, config(true), CLIENT, |additions, _, warnings| {
            assert_eq!(additions.moves, moves, "{init}");
            let mut places = additions.new_containers.iter().map(|it| it.at);
            assert!(places.all(|at| at == place(List::InitContainers, 0)));
            assert_eq!(warnings, [] as [String; 0]);
        });
    }
}

#[test]
fn leaves_a_container_of_its_name_in_place_that_may_be_another_one() {
    let other = json!({ "name": "azwi-proxy-init", "image": "busybox" });
    let proxy = json!({ "name": "azwi-proxy", "image": "proxy", "restartPolicy": "Always" });
    for init in [
        json!([{ "name": "a" }, other]),
        json!([{ "name": "a" }, other, proxy]),
    ] {
        let pod = pod(
            &[PROXY],
            json!({ "initContainers": init, "containers": [] }),
        );
        decide_with(&pod, config(true), CLIENT, |additions, _, warnings| {
            assert_eq!(additions.moves, []);
            let mut places = additions.new_containers.iter().map(|it| it.at);
            assert!(places.all(|at| at == place(List::InitContainers, 2)));
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].starts_with(
                "container azwi-proxy-init may not be the webhook's: it has another command"
            ));
        });
    }
}

#[test]
fn leads_sdks_to_the_proxy_in_mode_environment() {
    let app =
        json!({ "name": "app", "env": [{ "name": "MSI_ENDPOINT", "value": "http://theirs" }] });
    let pod = pod(
        &[PROXY, ("proxy-mode", "environment")],
        json!({ "containers": [app] }),
    );
    decide_with(&pod, config(true), CLIENT, |additions, _, warnings| {
        let url = "http://127.0.0.1:8000/msi/token";
        let secret = "07".repeat(30);
        let expected = [
            EnvVar::text("IDENTITY_ENDPOINT", url),
            EnvVar::text("IDENTITY_HEADER", &secret),
            EnvVar::text("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8000"),
        ];
        assert_eq!(additions.containers[0].variables[4..], expected);
        let [new] = additions.new_containers.as_slice() else {
            panic!("{additions:?}");
        };
        assert_eq!(new.containers.len(), 1, "no redirect");
        let proxy = &new.containers[0].variables;
        assert!(proxy.contains(&EnvVar::text("AZWI_IDENTITY_HEADER", &secret)));
        assert!(proxy.contains(&EnvVar::text("AZWI_IMDS", "on")));
        assert!(
            warnings[0].contains("sets MSI_ENDPOINT itself"),
            "{warnings:?}"
        );
    });
}

#[test]
fn gives_up_metrics_where_the_port_is_taken() {
    let mut config = config(true);
    config.sidecar.metrics_port = Some(9464);
    for (ports, expected) in [
        (json!([]), Some(9464)),
        (json!([{ "containerPort": 9464 }]), None),
    ] {
        let pod = pod(
            &[PROXY],
            json!({ "containers": [{ "name": "app", "ports": ports }] }),
        );
        decide_with(
            &pod,
            config.clone(),
            CLIENT,
            |additions, config, warnings| {
                let overrides = Overrides::default();
                let form = Form {
                    metrics_port: expected,
                    ..usual(&overrides)
                };
                let proxy = &additions.new_containers[0].containers[1];
                assert_eq!(proxy.template, config.proxy(&form));
                let variable = EnvVar {
                    name: "AZWI_METRICS_PORT",
                    value: Value::Number(9464),
                };
                assert_eq!(proxy.variables.contains(&variable), expected.is_some());
                assert_eq!(warnings.len(), usize::from(expected.is_none()));
            },
        );
    }
}

#[test]
fn renders_usual_containers_once_for_all_pods() {
    let prepared = Prepared::from(config(true));
    let overrides = Overrides::default();
    let usual = usual(&overrides);
    assert!(matches!(prepared.proxy(&usual), Cow::Borrowed(_)));
    assert!(matches!(prepared.proxy_init(&usual), Cow::Borrowed(_)));
    let form = Form {
        port: 9000,
        ..usual
    };
    assert!(matches!(prepared.proxy(&form), Cow::Owned(_)));
    assert_ne!(
        prepared.proxy(&form),
        prepared.proxy(&self::usual(&overrides))
    );
}

/// Decides about a pod, with a service account of this client id.
fn decide_with(
    pod: &Json,
    config: Config,
    client_id: &str,
    check: impl FnOnce(&Additions<'_>, &Prepared, Vec<String>),
) {
    let text = pod.to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
    let account = Account {
        client_id: client_id.into(),
        ..Account::default()
    };
    let config = Prepared::from(config);
    let seed = Seed([7; Seed::LENGTH]);
    let mut warnings = Warnings::default();
    let options = PodOptions::read(&pod, &config, &account, &seed, PodSecurity::Unknown).unwrap();
    let rules = ContainerRules::new(&pod, &config, &account, &options, &seed);
    let present = Present::find(&pod, &config.sidecar);
    let additions = decide(&pod, &config, &options, &present, &rules, &mut warnings).unwrap();
    check(&additions, &config, warnings.into_sentences());
}

fn pod(annotations: &[(&str, &str)], spec: Json) -> Json {
    let annotations: serde_json::Map<_, _> = annotations
        .iter()
        .map(|(key, value)| (format!("azure.workload.identity/{key}"), (*value).into()))
        .collect();
    json!({ "metadata": { "annotations": annotations }, "spec": spec })
}

fn config(native: bool) -> Config {
    Config {
        audience: "audience".to_owned(),
        authority_host: "https://authority/".to_owned(),
        tenant_id: "tenant".to_owned(),
        sidecar: Sidecar {
            image: "proxy".to_owned(),
            init_image: "proxy".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            mode: Mode::Redirect,
            log_level: "info".to_owned(),
            metrics_port: None,
            native,
            resources: Resources::default(),
            init_net_raw: false,
            linger_seconds: None,
            quit: false,
            init_resources: Resources::default(),
            seccomp_profile: SeccompProfile::RuntimeDefault,
            environment: vec![("AZWI_CA_DATA", "PEM".to_owned())],
        },
        bindings: None,
    }
}

fn usual<'a>(overrides: &'a Overrides<'a>) -> Form<'a> {
    Form {
        port: 8000,
        metrics_port: None,
        has_own_user: true,
        resources: overrides,
    }
}

fn place(list: List, index: usize) -> Place {
    Place { list, index }
}

fn nothing<'a>(list: List, index: usize) -> ContainerAdditions<'a> {
    ContainerAdditions {
        at: place(list, index),
        mounts: Vec::new(),
        variables: Vec::new(),
        replacements: Vec::new(),
    }
}

fn identity_variables() -> Vec<EnvVar<'static>> {
    vec![
        EnvVar::text("AZURE_CLIENT_ID", CLIENT),
        EnvVar::text("AZURE_TENANT_ID", "tenant"),
        EnvVar::text(
            "AZURE_FEDERATED_TOKEN_FILE",
            "/var/run/secrets/azure/tokens/azure-identity-token",
        ),
        EnvVar::text("AZURE_AUTHORITY_HOST", "https://authority/"),
    ]
}

fn mount(name: &str) -> VolumeMount<'_> {
    VolumeMount {
        name,
        mount_path: "/var/run/secrets/azure/tokens",
        read_only: true,
    }
}

fn token_volume() -> Volume<'static> {
    let source = Source::ServiceAccountToken {
        audience: "audience",
        expiration_seconds: 3600,
        path: "azure-identity-token",
    };
    Volume {
        name: "azure-identity-token",
        projected: Projected { sources: [source] },
    }
}

fn marker(text: &str) -> (&'static str, Cow<'_, str>) {
    ("azure.workload.identity/injected", Cow::Borrowed(text))
}

const CLIENT: &str = "client";
const PROXY: (&str, &str) = ("inject-proxy-sidecar", "true");
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";
