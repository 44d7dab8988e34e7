//! Mode `environment`: variables instead of a redirect.

use serde_json::{Value, json};
use webhook::inject::{Config, Mode, PodSecurity};

use crate::fixture::{Mutated, account, config, mutate, mutate_in, mutated, pod, variable};

const ENDPOINT: &str = "http://127.0.0.1:8000/msi/token";

fn with_environment() -> Value {
    json!({
        "azure.workload.identity/inject-proxy-sidecar": "true",
        "azure.workload.identity/proxy-mode": "environment",
    })
}

fn spec(fields: Value) -> Value {
    let mut spec = json!({ "containers": [{ "name": "app", "image": "app" }] });
    let fields = fields.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(fields);
    spec
}

fn result(fields: Value) -> Mutated {
    mutated(
        &pod(with_environment(), spec(fields)),
        &config(true),
        &account(),
    )
}

fn of_container(fields: Value) -> Mutated {
    let mut container = json!({ "name": "app" });
    let fields = fields.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(fields);
    result(json!({ "containers": [container] }))
}

#[test]
fn inserts_a_proxy_and_no_init_container_with_a_capability() {
    let result = result(json!({ "initContainers": [{ "name": "early" }] }));
    assert_eq!(result.names("initContainers"), ["azwi-proxy", "early"]);
    assert!(!result.pod.to_string().contains("NET_ADMIN"));
    assert_eq!(result.warnings, [] as [String; 0]);
}

/// OpenShift's namespaces have a range of users each, and refuse others (linkerd2#10879).
#[test]
fn leaves_the_proxys_user_to_the_namespace_or_pod() {
    let user = |result: &Mutated| {
        let context = &result.container("azwi-proxy")["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["runAsUser"], context["runAsGroup"]);
        context["runAsUser"].clone()
    };
    assert_eq!(user(&result(json!({}))), Value::Null);
    let of_pod = |uid: u32| json!({ "securityContext": { "runAsUser": uid } });
    assert_eq!(user(&result(of_pod(1_000_660_000))), Value::Null);
    // Otherwise the kubelet would not start it: it must not run as root.
    assert_eq!(user(&result(of_pod(0))), 1501);
    // The redirect exempts this user.
    let mut annotations = with_environment();
    annotations["azure.workload.identity/proxy-mode"] = "redirect".into();
    let redirect = pod(annotations, spec(of_pod(1000)));
    assert_eq!(user(&mutated(&redirect, &config(true), &account())), 1501);
    let environment = Config {
        sidecar: webhook::inject::Sidecar {
            mode: Mode::Environment,
            ..config(true).sidecar
        },
        ..config(true)
    };
    assert_eq!(user(&mutated(&redirect, &environment, &account())), 1501);
}

#[test]
fn leads_each_container_to_the_proxy_with_its_secret() {
    let result = result(json!({ "initContainers": [{ "name": "early" }] }));
    let proxy = result.container("azwi-proxy");
    let secret = variable(proxy, "AZWI_IDENTITY_HEADER").unwrap();
    assert!(secret.len() >= 32, "{secret}");
    assert_eq!(variable(proxy, "AZWI_IMDS"), Some("on"));
    assert_eq!(variable(proxy, "IDENTITY_ENDPOINT"), None);
    for container in ["early", "app"].map(|name| result.container(name)) {
        for (name, value) in [
            ("IDENTITY_ENDPOINT", ENDPOINT),
            ("IDENTITY_HEADER", secret),
            ("MSI_ENDPOINT", ENDPOINT),
            ("MSI_SECRET", secret),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8000"),
            ("APPSETTING_WEBSITE_SITE_NAME", "azure-workload-identity"),
        ] {
            assert_eq!(variable(container, name), Some(value), "{name}");
        }
        assert_eq!(variable(container, "AZWI_IDENTITY_HEADER"), None);
    }
}

#[test]
fn gives_each_pod_another_secret() {
    let secret = || {
        let result = result(json!({}));
        let proxy = result.container("azwi-proxy");
        variable(proxy, "AZWI_IDENTITY_HEADER").unwrap().to_owned()
    };
    assert_ne!(secret(), secret());
}

#[test]
fn gives_the_same_secret_to_a_container_that_another_webhook_adds() {
    let mut pod = result(json!({ "hostNetwork": true })).pod;
    let containers = pod["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({ "name": "late" }));
    let result = mutated(&pod, &config(true), &account());
    let of = |name, key| variable(result.container(name), key);
    for key in ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"] {
        assert_eq!(of("late", key), of("app", key));
    }
    assert_eq!(
        of("late", "IDENTITY_HEADER"),
        of("azwi-proxy", "AZWI_IDENTITY_HEADER")
    );
}

#[test]
fn prefers_the_pods_mode_to_the_operators() {
    let mut of_cluster = config(true);
    of_cluster.sidecar.mode = Mode::Environment;
    let init = |annotations: Value, config: &Config| {
        let result = mutated(&pod(annotations, spec(json!({}))), config, &account());
        result.names("initContainers").len()
    };
    let mut annotations = with_environment();
    assert_eq!(init(annotations.clone(), &config(true)), 1);
    annotations["azure.workload.identity/proxy-mode"] = "redirect".into();
    assert_eq!(init(annotations.clone(), &of_cluster), 2);
    annotations
        .as_object_mut()
        .unwrap()
        .remove("azure.workload.identity/proxy-mode");
    assert_eq!(init(annotations.clone(), &of_cluster), 1);
    assert_eq!(init(annotations, &config(true)), 2);
}

#[test]
fn refuses_an_unknown_mode_and_warns_about_one_without_the_proxy() {
    let mut annotations = with_environment();
    annotations["azure.workload.identity/proxy-mode"] = "env".into();
    let refused = mutate(
        &pod(annotations, spec(json!({}))),
        &config(true),
        &account(),
    );
    let text = refused.err().unwrap().to_string();
    assert!(
        text.contains("proxy-mode") && text.contains("\"environment\""),
        "{text}"
    );

    let alone = json!({ "azure.workload.identity/proxy-mode": "environment" });
    let warnings = mutated(&pod(alone, spec(json!({}))), &config(true), &account()).warnings;
    assert!(
        warnings.concat().contains("has no effect without"),
        "{warnings:?}"
    );
}

#[test]
fn never_sends_the_secret_to_an_address_of_the_users() {
    for (set, paired) in [
        ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"),
        ("IDENTITY_HEADER", "IDENTITY_ENDPOINT"),
        ("MSI_ENDPOINT", "MSI_SECRET"),
        ("MSI_SECRET", "MSI_ENDPOINT"),
    ] {
        for value in ["http://elsewhere.example", ""] {
            let result = of_container(json!({ "env": [{ "name": set, "value": value }] }));
            let app = result.container("app");
            assert_eq!(variable(app, set), Some(value));
            assert_eq!(variable(app, paired), None, "{set}={value}");
        }
    }
    let env = json!([{ "name": "MSI_ENDPOINT", "value": "http://elsewhere.example" }]);
    let result = of_container(json!({ "env": env }));
    assert_eq!(
        variable(result.container("app"), "APPSETTING_WEBSITE_SITE_NAME"),
        None
    );
    assert!(
        result
            .warnings
            .concat()
            .contains("sets MSI_ENDPOINT itself")
    );
}

/// Other pods reach a port on the node's network, so IMDS, which takes no secret, is off. Each pod gets
/// its own port.
#[test]
fn answers_nothing_without_the_secret_on_the_nodes_network() {
    let host = json!({ "hostNetwork": true });
    let result = result(host.clone());
    let proxy = result.container("azwi-proxy");
    assert_eq!(variable(proxy, "AZWI_IMDS"), Some("off"));
    let app = result.container("app");
    assert_eq!(variable(app, "AZURE_POD_IDENTITY_AUTHORITY_HOST"), None);
    let port = proxy["ports"][0]["containerPort"].as_u64().unwrap();
    assert!((20_000..30_000).contains(&port), "{port}");
    let endpoint = format!("http://127.0.0.1:{port}/msi/token");
    assert_eq!(variable(app, "IDENTITY_ENDPOINT"), Some(endpoint.as_str()));
    assert_eq!(proxy["args"][0], format!("--proxy-port={port}"));

    let mut chosen = with_environment();
    chosen["azure.workload.identity/proxy-sidecar-port"] = "9000".into();
    let result = mutated(&pod(chosen, spec(host)), &config(true), &account());
    assert_eq!(
        result.container("azwi-proxy")["ports"][0]["containerPort"],
        9000
    );
}

#[test]
fn admits_containers_of_the_proxys_user() {
    result(json!({ "securityContext": { "runAsUser": 1501 } }));
}

#[test]
fn warns_about_requests_that_bypass_the_proxy() {
    let url = "http://169.254.169.254/metadata/identity/oauth2/token";
    for fields in [
        json!({ "command": ["curl", url] }),
        json!({ "args": ["-c", format!("curl {url}")] }),
        json!({ "env": [{ "name": "TOKEN_URL", "value": url }] }),
    ] {
        let warnings = of_container(fields.clone()).warnings;
        assert!(
            warnings
                .concat()
                .contains("container app names 169.254.169.254"),
            "{fields}: {warnings:?}"
        );
    }
    for fields in [
        json!({ "command": ["curl", "http://localhost"], "args": null }),
        json!({ "env": [{ "name": "no_proxy", "value": "169.254.169.254,localhost" }] }),
    ] {
        let warnings = of_container(fields.clone()).warnings;
        assert_eq!(warnings, [] as [String; 0], "{fields}");
    }
}

/// In a namespace whose Pod Security level refuses NET_ADMIN (azwi#697, azwi#1009, azwi#1424).
#[test]
fn a_restricted_namespace_chooses_the_mode_unless_the_pod_does() {
    let restricted = PodSecurity::RefusesNetAdmin;
    let with = |mode: Option<&str>| {
        let mut annotations = with_environment();
        annotations["azure.workload.identity/proxy-mode"] = mode.into();
        pod(annotations, spec(json!({})))
    };
    let run = |security, pod: &Value| mutate_in(security, pod, &config(true), &account()).unwrap();

    for silent in [with(None), with(Some(""))] {
        let first = run(restricted, &silent);
        assert_eq!(first.names("initContainers"), ["azwi-proxy"]);
        assert_eq!(first.audit["injected"], "token,proxy-environment");
        let sentence = "refuses NET_ADMIN: the sidecar is added in mode environment";
        assert!(
            first.warnings.concat().contains(sentence),
            "{:?}",
            first.warnings
        );
        // The API server calls both entries, and the first one again. kubectl shows the same sentence once.
        for security in [PodSecurity::Unknown, restricted] {
            let later = run(security, &first.pod);
            assert_eq!(later.operations, [] as [Value; 0]);
            assert_eq!(later.warnings, first.warnings);
        }
        // Elsewhere it is the redirect, silently.
        let elsewhere = run(PodSecurity::Unknown, &silent);
        assert_eq!(elsewhere.names("initContainers").len(), 2);
        assert_eq!(elsewhere.warnings, [] as [String; 0]);
        // In the other order the redirect stays: the webhook only adds.
        let after = run(restricted, &elsewhere.pod);
        assert_eq!(after.operations, [] as [Value; 0]);
        assert!(after.warnings.concat().contains("refuses azwi-proxy-init"));
    }
    assert_eq!(
        run(restricted, &with(Some("environment"))).warnings,
        [] as [String; 0]
    );
    let redirect = run(restricted, &with(Some("redirect")));
    assert_eq!(redirect.names("initContainers").len(), 2);
    assert!(
        redirect
            .warnings
            .concat()
            .contains("the pod will not be created")
    );
    // Without the proxy there is no mode.
    let plain = run(restricted, &pod(json!({}), spec(json!({}))));
    assert_eq!(plain.warnings, [] as [String; 0]);
}

/// A marker that was copied without its containers chooses nothing.
#[test]
fn a_copied_marker_does_not_choose_the_mode() {
    let mut annotations = with_environment();
    annotations["azure.workload.identity/proxy-mode"] = Value::Null;
    annotations["azure.workload.identity/injected"] = r#"{"modeOfNamespace":"environment"}"#.into();
    let result = mutated(
        &pod(annotations, spec(json!({}))),
        &config(true),
        &account(),
    );
    assert_eq!(result.names("initContainers").len(), 2);
}
