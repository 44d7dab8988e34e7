//! Examples of injected pods, one rule each.

use contract::value::RelayKey;
use serde_json::{Value, json};
use webhook::inject::{self, Account, Bindings, CaSource, Config, Pod};

use crate::fixture::{
    CLIENT_ID, Mutated, TENANT_ID, TOKEN_FILE, account, config, mutate, mutated, pod, variable,
};
use crate::plain::without_keys;

fn with_proxy() -> Value {
    json!({ "azure.workload.identity/inject-proxy-sidecar": "true" })
}

fn one_container() -> Value {
    json!({ "containers": [{ "name": "app", "image": "app" }] })
}

fn denial(annotations: Value, spec: Value) -> String {
    mutate(&pod(annotations, spec), &config(true), &account())
        .err()
        .unwrap()
        .to_string()
}

fn warnings(annotations: Value, spec: Value, account: &Account) -> Vec<String> {
    mutated(&pod(annotations, spec), &config(true), account).warnings
}

#[test]
fn adds_token_and_identity_to_a_container() {
    let result = mutated(
        &pod(Value::Null, one_container()),
        &config(true),
        &account(),
    );
    let app = result.container("app");
    assert_eq!(
        app["env"],
        json!([
            { "name": "AZURE_CLIENT_ID", "value": CLIENT_ID },
            { "name": "AZURE_TENANT_ID", "value": TENANT_ID },
            { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": TOKEN_FILE },
            { "name": "AZURE_AUTHORITY_HOST", "value": "https://login.microsoftonline.com/" },
        ])
    );
    assert_eq!(
        app["volumeMounts"],
        json!([{
            "name": "azure-identity-token",
            "mountPath": "/var/run/secrets/azure/tokens",
            "readOnly": true,
        }])
    );
    assert_eq!(
        result.pod["spec"]["volumes"],
        json!([{
            "name": "azure-identity-token",
            "projected": { "sources": [{ "serviceAccountToken": {
                "audience": "api://AzureADTokenExchange",
                "expirationSeconds": 3600,
                "path": "azure-identity-token",
            } }] },
        }])
    );
    assert_eq!(result.names("containers"), ["app"]);
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
}

#[test]
fn inserts_redirect_and_proxy_before_the_users_init_containers() {
    let spec = json!({
        "initContainers": [{ "name": "migrate" }],
        "containers": [{ "name": "app" }],
    });
    let result = mutated(&pod(with_proxy(), spec), &config(true), &account());
    assert_eq!(
        result.names("initContainers"),
        ["azwi-proxy-init", "azwi-proxy", "migrate"]
    );
    assert_eq!(result.names("containers"), ["app"]);

    let init = result.container("azwi-proxy-init");
    assert_eq!(init["command"], json!(["/proxy-init"]));
    let names: Vec<_> = init["env"].as_array().unwrap().iter().collect();
    let names: Vec<_> = names.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["PROXY_PORT", "AZWI_RELAY_KEY"]);
    assert_eq!(variable(init, "PROXY_PORT"), Some("8000"));
    assert_eq!(
        init["volumeMounts"],
        Value::Null,
        "the redirect needs no token"
    );
    assert_eq!(
        init["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );

    let proxy = result.container("azwi-proxy");
    assert_eq!(
        proxy["args"],
        json!(["--proxy-port=8000", "--log-level=info"])
    );
    assert_eq!(proxy["restartPolicy"], "Always");
    assert_eq!(proxy["ports"], json!([{ "containerPort": 8000 }]));
    assert_eq!(
        proxy["resources"],
        json!({ "requests": { "memory": "16Mi" } })
    );
    assert_eq!(
        proxy["lifecycle"]["postStart"]["exec"]["command"],
        json!(["/proxy", "--proxy-port=8000", "--probe", "--log-level=info"])
    );
    assert_eq!(proxy["startupProbe"], Value::Null);
    assert_eq!(
        proxy["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 1501,
            "runAsNonRoot": true,
            "runAsUser": 1501,
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );
    assert_eq!(variable(proxy, "AZURE_CLIENT_ID"), Some(CLIENT_ID));
    assert_eq!(
        variable(proxy, "AZURE_FEDERATED_TOKEN_FILE"),
        Some(TOKEN_FILE)
    );
    assert_eq!(variable(proxy, "AZWI_CA_DATA"), Some("PEM"));
    assert_eq!(variable(result.container("app"), "AZWI_CA_DATA"), None);
    assert_eq!(proxy["volumeMounts"][0]["name"], "azure-identity-token");
}

#[test]
fn passes_relay_policy_deny_to_the_redirect() {
    for (policy, known) in [
        ("deny", Some("deny")),
        ("allow", None),
        ("/metadata/instance", None),
    ] {
        let mut config = config(true);
        config.sidecar.environment = vec![("AZWI_RELAY", policy.to_owned())];
        let spec = json!({ "containers": [{ "name": "app" }] });
        let result = mutated(&pod(with_proxy(), spec), &config, &account());
        let init = result.container("azwi-proxy-init");
        assert_eq!(variable(init, "AZWI_RELAY"), known);
        assert_eq!(variable(init, "PROXY_PORT"), Some("8000"));
        assert_eq!(
            variable(result.container("azwi-proxy"), "AZWI_RELAY"),
            Some(policy)
        );
    }
}

#[test]
fn gives_redirect_and_proxy_one_key_that_no_other_pod_has() {
    let keys = |spec: Value| {
        let result = mutated(&pod(with_proxy(), spec), &config(true), &account());
        assert_eq!(variable(result.container("app"), "AZWI_RELAY_KEY"), None);
        ["azwi-proxy-init", "azwi-proxy"].map(|name| {
            let key = variable(result.container(name), "AZWI_RELAY_KEY")?;
            Some(key.to_owned())
        })
    };
    let [init, proxy] = keys(one_container());
    assert!(
        init.as_ref().unwrap().parse::<RelayKey>().is_ok(),
        "{init:?}"
    );
    assert_eq!(init, proxy);
    assert_ne!(keys(one_container())[0], init);

    // Another program has left out one of the two.
    let env = json!([{ "name": "AZWI_RELAY_KEY", "value": "kept" }]);
    for (name, more) in [
        ("azwi-proxy-init", json!({})),
        ("azwi-proxy", json!({ "restartPolicy": "Always" })),
    ] {
        for (env, key) in [(&env, Some("kept".to_owned())), (&json!([]), None)] {
            let mut existing = more.clone();
            existing["name"] = name.into();
            existing["env"] = env.clone();
            let mut spec = one_container();
            spec["initContainers"] = json!([existing]);
            assert_eq!(keys(spec), [key.clone(), key], "{name}");
        }
    }
}

#[test]
fn makes_no_key_if_the_proxy_relays_nothing_or_there_is_no_redirect() {
    let without = |config: &Config, annotations: Value| {
        let result = mutated(&pod(annotations, one_container()), config, &account());
        assert!(!result.pod.to_string().contains("AZWI_RELAY_KEY"));
    };
    let mut denying = config(true);
    denying.sidecar.environment = vec![("AZWI_RELAY", "deny".to_owned())];
    without(&denying, with_proxy());
    let mut environment = with_proxy();
    environment["azure.workload.identity/proxy-mode"] = "environment".into();
    without(&config(true), environment);
    without(&config(true), Value::Null);
}

#[test]
fn every_pod_with_a_proxy_needs_a_seed() {
    let needs_seed = |annotations: Value| {
        let pod = pod(annotations, one_container()).to_string();
        inject::may_use_seed(&serde_json::from_str(&pod).unwrap())
    };
    assert!(needs_seed(with_proxy()));
    assert!(!needs_seed(Value::Null));
}

#[test]
fn gives_the_redirect_net_raw_on_the_operators_request() {
    let mut config = config(true);
    config.sidecar.init_net_raw = true;
    let spec = json!({ "containers": [{ "name": "app" }] });
    let result = mutated(&pod(with_proxy(), spec), &config, &account());
    let of = |name| &result.container(name)["securityContext"]["capabilities"];
    assert_eq!(
        of("azwi-proxy-init")["add"],
        json!(["NET_ADMIN", "NET_RAW"])
    );
    assert_eq!(of("azwi-proxy"), &json!({ "drop": ["ALL"] }));
}

#[test]
fn inserts_a_plain_sidecar_first_and_keeps_kubectls_default_container() {
    let spec = json!({
        "initContainers": [{ "name": "migrate" }],
        "containers": [{ "name": "app" }, { "name": "helper" }],
    });
    let result = mutated(&pod(with_proxy(), spec.clone()), &config(false), &account());
    assert_eq!(
        result.names("initContainers"),
        ["azwi-proxy-init", "migrate"]
    );
    assert_eq!(result.names("containers"), ["azwi-proxy", "app", "helper"]);
    let proxy = result.container("azwi-proxy");
    assert_eq!(
        proxy["lifecycle"]["postStart"]["exec"]["command"],
        json!(["/proxy", "--proxy-port=8000", "--probe", "--log-level=info"])
    );
    assert_eq!(proxy["restartPolicy"], Value::Null);
    let default = "kubectl.kubernetes.io/default-container";
    assert_eq!(result.pod["metadata"]["annotations"][default], "app");

    let mut annotations = with_proxy();
    annotations[default] = "helper".into();
    let result = mutated(&pod(annotations, spec), &config(false), &account());
    assert_eq!(result.pod["metadata"]["annotations"][default], "helper");
}

#[test]
fn reads_inject_proxy_sidecar_by_its_value() {
    let annotations =
        |value: &str| json!({ "azure.workload.identity/inject-proxy-sidecar": value });
    for (value, expected) in [("true", 2), (" True ", 2), ("false", 0), ("FALSE", 0)] {
        let result = mutated(
            &pod(annotations(value), one_container()),
            &config(true),
            &account(),
        );
        assert_eq!(result.names("initContainers").len(), expected, "{value:?}");
    }
    for value in ["maybe", "1", "yes"] {
        let text = denial(annotations(value), one_container());
        assert!(text.contains(&format!("{value:?}")), "{text}");
        assert!(
            text.contains("azure.workload.identity/inject-proxy-sidecar"),
            "{text}"
        );
    }
}

#[test]
fn rejects_invalid_and_occupied_ports() {
    let annotations = |port: &str| {
        json!({
            "azure.workload.identity/inject-proxy-sidecar": "true",
            "azure.workload.identity/proxy-sidecar-port": port,
        })
    };
    let result = mutated(
        &pod(annotations("65535"), one_container()),
        &config(true),
        &account(),
    );
    let init = result.container("azwi-proxy-init");
    assert_eq!(variable(init, "PROXY_PORT"), Some("65535"));
    for port in ["70000", "0", "-1", "8000x", "4294975296"] {
        let text = denial(annotations(port), one_container());
        assert!(
            text.contains("azure.workload.identity/proxy-sidecar-port"),
            "{text}"
        );
        assert!(text.contains("between 1 and 65535"), "{text}");
    }
    assert!(denial(annotations("80"), one_container()).contains("metadata service"));

    let listening = |list: &str, port: Value| {
        let mut spec = one_container();
        spec[list] = json!([{ "name": "other", "ports": [port] }]);
        spec
    };
    let text = denial(
        with_proxy(),
        listening("containers", json!({ "containerPort": 8000 })),
    );
    assert!(
        text.contains("container \"other\" declares containerPort 8000"),
        "{text}"
    );
    for (list, port) in [
        (
            "containers",
            json!({ "containerPort": 8000, "protocol": "UDP" }),
        ),
        ("containers", json!({ "containerPort": 8001 })),
        // An init container has ended before the proxy listens.
        ("initContainers", json!({ "containerPort": 8000 })),
    ] {
        mutated(
            &pod(with_proxy(), listening(list, port)),
            &config(true),
            &account(),
        );
    }
}

#[test]
fn names_the_owner_of_an_invalid_token_lifetime() {
    let key = "azure.workload.identity/service-account-token-expiration";
    let expiration = |mutated: &Mutated| {
        let source = &mutated.pod["spec"]["volumes"][0]["projected"]["sources"][0];
        source["serviceAccountToken"]["expirationSeconds"].clone()
    };
    let of_account = |value: &str| Account {
        token_expiration: Some(value.into()),
        ..account()
    };
    let pod = |value: &str| pod(json!({ key: value }), one_container());

    assert_eq!(
        expiration(&mutated(&pod("86400"), &config(true), &account())),
        86400
    );
    assert_eq!(
        expiration(&mutated(&pod("7200"), &config(true), &of_account("60"))),
        7200
    );
    for value in ["60", "3599", "86401", "1h", "-3600"] {
        let text = mutate(&pod(value), &config(true), &account())
            .err()
            .unwrap()
            .to_string();
        assert!(
            text.starts_with(&format!("pod has annotation {key} with value {value:?}")),
            "{text}"
        );
    }

    let plain = crate::fixture::pod(Value::Null, one_container());
    assert_eq!(
        expiration(&mutated(&plain, &config(true), &of_account("4000"))),
        4000
    );
    let text = mutate(&plain, &config(true), &of_account("60"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        text.starts_with("service account default has annotation"),
        "{text}"
    );
}

/// Templates write an empty value for what their user left out.
#[test]
fn an_empty_annotation_counts_as_absent() {
    let keys = [
        "service-account-token-expiration",
        "skip-containers",
        "proxy-sidecar-port",
        "proxy-mode",
        "proxy-linger-seconds",
        "proxy-quit",
        "identity-map",
        "proxy-prefetch",
        "proxy-verify",
        "proxy-cpu-limit",
        "proxy-cpu-request",
        "proxy-memory-limit",
        "proxy-memory-request",
        "proxy-ephemeral-storage-limit",
        "proxy-ephemeral-storage-request",
        "injected",
    ];
    let expected = mutated(
        &pod(with_proxy(), one_container()),
        &config(true),
        &account(),
    );
    let expected = without_keys(expected.pod);
    for empty in ["", " ", "\n"] {
        let mut annotations = with_proxy();
        for key in keys {
            annotations[format!("azure.workload.identity/{key}")] = empty.into();
        }
        let of_account = Account {
            token_expiration: Some(empty.into()),
            ..account()
        };
        let result = mutated(
            &pod(annotations, one_container()),
            &config(true),
            &of_account,
        );
        let found = without_keys(result.pod);
        assert_eq!(found["spec"], expected["spec"], "{empty:?}");
        assert!(result.warnings.is_empty(), "{:?}", result.warnings);

        // Upstream would add the sidecar, so this one is mentioned.
        let annotations = json!({ "azure.workload.identity/inject-proxy-sidecar": empty });
        let result = mutated(
            &pod(annotations, one_container()),
            &config(true),
            &account(),
        );
        assert_eq!(result.names("initContainers").len(), 0, "{empty:?}");
        let sentence = "pod: annotation azure.workload.identity/inject-proxy-sidecar is empty: no sidecar is added";
        assert_eq!(result.warnings, [sentence]);
    }
    // The pod's empty value leaves the account's.
    let of_account = Account {
        token_expiration: Some("4000".into()),
        ..account()
    };
    let annotations = json!({ "azure.workload.identity/service-account-token-expiration": "" });
    let result = mutated(
        &pod(annotations, one_container()),
        &config(true),
        &of_account,
    );
    let source = &result.pod["spec"]["volumes"][0]["projected"]["sources"][0];
    assert_eq!(source["serviceAccountToken"]["expirationSeconds"], 4000);
}

#[test]
fn refuses_pods_that_cannot_have_the_proxy() {
    let spec = |extra: Value| {
        let mut spec = one_container();
        spec.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        spec
    };
    let host = spec(json!({ "hostNetwork": true }));
    let text = denial(with_proxy(), host.clone());
    assert!(
        text.starts_with("hostNetwork is set to true, cannot inject proxy sidecar"),
        "{text}"
    );
    mutated(&pod(Value::Null, host), &config(true), &account());

    let affinity = json!({ "nodeSelectorTerms": [{ "matchExpressions": [
        { "key": "kubernetes.io/os", "operator": "In", "values": ["windows"] },
    ] }] });
    let affinity = json!({ "requiredDuringSchedulingIgnoredDuringExecution": affinity });
    // Pods of the kind HostProcess must be on the node's network.
    let host_process = json!({ "windowsOptions": { "hostProcess": true } });
    for (windows, field) in [
        (json!({ "os": { "name": "windows" } }), "os"),
        (
            json!({ "nodeSelector": { "kubernetes.io/os": "windows" } }),
            "nodeSelector",
        ),
        (
            json!({ "nodeSelector": { "beta.kubernetes.io/os": "windows" } }),
            "nodeSelector",
        ),
        (
            json!({ "affinity": { "nodeAffinity": affinity } }),
            "node affinity",
        ),
        (
            json!({ "hostNetwork": true, "securityContext": host_process }),
            "windowsOptions",
        ),
    ] {
        for mode in ["redirect", "environment"] {
            let mut annotations = with_proxy();
            annotations["azure.workload.identity/proxy-mode"] = mode.into();
            let text = denial(annotations, spec(windows.clone()));
            assert!(text.starts_with("the pod runs on Windows"), "{text}");
            assert!(
                text.contains(&format!("the pod's {field} asks for Windows")),
                "{text}"
            );
        }
        mutated(&pod(Value::Null, spec(windows)), &config(true), &account());
    }

    let text = denial(
        with_proxy(),
        spec(json!({ "securityContext": { "runAsUser": 1501 } })),
    );
    assert!(text.contains("\"app\" runs as user 1501"), "{text}");
    let own = |uid: u32| {
        json!({
            "securityContext": { "runAsUser": 1501 },
            "containers": [{ "name": "app", "securityContext": { "runAsUser": uid } }],
        })
    };
    assert!(denial(with_proxy(), own(1501)).contains("1501"));
    mutated(&pod(with_proxy(), own(1000)), &config(true), &account());
}

#[test]
fn keeps_the_users_variables() {
    let spec = json!({
        "containers": [{
            "name": "app",
            "env": [
                { "name": "AZURE_CLIENT_ID", "value": "" },
                { "name": "AZURE_TENANT_ID", "valueFrom": { "secretKeyRef": { "name": "s" } } },
            ],
        }],
    });
    let result = mutated(&pod(Value::Null, spec), &config(true), &account());
    let env = result.container("app")["env"].as_array().unwrap();
    assert_eq!(env.len(), 4);
    assert_eq!(env[2], json!({ "name": "AZURE_CLIENT_ID", "value": "" }));
    assert_eq!(env[3]["valueFrom"]["secretKeyRef"]["name"], "s");
}

/// The kubelet replaces `$(NAME)` only with a variable that comes before it (kubernetes#94079,
/// datadog-agent#12820).
#[test]
fn the_users_variables_may_refer_to_injected_ones() {
    let own = json!([
        { "name": "ID", "value": "$(AZURE_CLIENT_ID)" },
        { "name": "URL", "value": "$(IDENTITY_ENDPOINT)" },
    ]);
    let spec = json!({
        "initContainers": [{ "name": "early", "env": own }],
        "containers": [{ "name": "app", "env": own }],
    });
    let mut annotations = with_proxy();
    annotations["azure.workload.identity/proxy-mode"] = "environment".into();
    let result = mutated(&pod(annotations, spec), &config(true), &account());
    for name in ["early", "app"] {
        let names: Vec<_> = result.container(name)["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        let injected = ["AZURE_CLIENT_ID", "AZURE_TENANT_ID"];
        assert_eq!(names[..2], injected, "{name}");
        assert!(names.contains(&"IDENTITY_ENDPOINT"), "{names:?}");
        assert_eq!(names[names.len() - 2..], ["ID", "URL"], "{name}");
    }
}

#[test]
fn reuses_an_existing_volume_or_mount() {
    // A pod that upstream (Azure/azure-workload-identity) has mutated.
    let spec = json!({
        "containers": [
            {
                "name": "app",
                "env": [{
                    "name": "AZURE_FEDERATED_TOKEN_FILE",
                    "value": "/var/run/secrets/azure/wi/token/azure-identity-token",
                }],
                "volumeMounts": [{
                    "name": "azure-workload-identity-reserved-0123",
                    "mountPath": "/var/run/secrets/azure/wi/token",
                }],
            },
            { "name": "late" },
        ],
        "volumes": [{
            "name": "azure-workload-identity-reserved-0123",
            "projected": { "sources": [{ "serviceAccountToken": {
                "audience": "api://AzureADTokenExchange",
                "path": "azure-identity-token",
            } }] },
        }],
    });
    let result = mutated(&pod(with_proxy(), spec), &config(true), &account());
    assert_eq!(result.pod["spec"]["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(
        result.container("app")["volumeMounts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        variable(result.container("app"), "AZURE_CLIENT_ID"),
        Some(CLIENT_ID)
    );
    for name in ["late", "azwi-proxy"] {
        let container = result.container(name);
        assert_eq!(
            container["volumeMounts"],
            json!([{
                "name": "azure-workload-identity-reserved-0123",
                "mountPath": "/var/run/secrets/azure/tokens",
                "readOnly": true,
            }])
        );
        assert_eq!(
            variable(container, "AZURE_FEDERATED_TOKEN_FILE"),
            Some(TOKEN_FILE)
        );
    }
}

#[test]
fn takes_the_tokens_path_from_an_existing_mount() {
    let spec = json!({
        "containers": [{
            "name": "app",
            "volumeMounts": [{ "name": "mine", "mountPath": "/identity/" }],
        }],
        "volumes": [{
            "name": "mine",
            "projected": { "sources": [
                { "configMap": { "name": "c" } },
                { "serviceAccountToken": { "audience": "other", "path": "other" } },
                { "serviceAccountToken": {
                    "audience": "api://AzureADTokenExchange", "path": "sub/token",
                } },
            ] },
        }],
    });
    let result = mutated(&pod(Value::Null, spec), &config(true), &account());
    let app = result.container("app");
    assert_eq!(
        variable(app, "AZURE_FEDERATED_TOKEN_FILE"),
        Some("/identity/sub/token")
    );
    assert_eq!(app["volumeMounts"].as_array().unwrap().len(), 1);
}

#[test]
fn adds_nothing_to_skipped_containers_and_warns_about_unknown_ones() {
    let spec = json!({
        "initContainers": [{ "name": "init" }],
        "containers": [{ "name": "app" }, { "name": "mesh" }, { "name": "log" }],
    });
    let annotations = json!({ "azure.workload.identity/skip-containers": "mesh; init,nowhere ;" });
    let result = mutated(&pod(annotations, spec), &config(true), &account());
    for name in ["init", "mesh"] {
        assert_eq!(*result.container(name), json!({ "name": name }));
    }
    for name in ["app", "log"] {
        assert_eq!(
            variable(result.container(name), "AZURE_CLIENT_ID"),
            Some(CLIENT_ID)
        );
    }
    assert_eq!(result.warnings.len(), 1, "{:?}", result.warnings);
    assert!(
        result.warnings[0].contains("\"nowhere\""),
        "{:?}",
        result.warnings
    );
}

#[test]
fn the_proxy_is_never_skipped() {
    let key = "azure.workload.identity/skip-containers";
    let skipped = "azwi-proxy;azwi-proxy-init";
    let mut annotations = with_proxy();
    annotations[key] = skipped.into();
    let sentence =
        format!("pod has annotation {key}: azwi-proxy is never skipped, it needs the token");
    let first = mutated(
        &pod(annotations, one_container()),
        &config(true),
        &account(),
    );
    let proxy = first.container("azwi-proxy");
    assert_eq!(variable(proxy, "AZURE_CLIENT_ID"), Some(CLIENT_ID));
    let second = mutated(&first.pod, &config(true), &account());
    for warnings in [first.warnings, second.warnings] {
        assert_eq!(warnings, [sentence.as_str()]);
    }
    // Without the sidecar there are no such containers.
    let result = mutated(
        &pod(json!({ key: skipped }), one_container()),
        &config(true),
        &account(),
    );
    assert_eq!(result.warnings.len(), 2, "{:?}", result.warnings);
    let is_missing = |it: &String| it.contains("there is no container");
    assert!(result.warnings.iter().all(is_missing));
}

#[test]
fn warns_about_misspelled_keys_and_values() {
    let annotations = json!({
        "azure.workload.identity/inject-proxy-sidcar": "true",
        "azure.workload.identity/client-id": CLIENT_ID,
        "azure.workload.identity/use": "true",
        "azure.workload.identity/use-identity-binding": "true",
        "azure.workload.identity/something": "else",
    });
    let account = Account {
        client_id: "my-app".into(),
        tenant_id: "https://login.microsoftonline.com/x".into(),
        unknown: ["azure.workload.identity/client_id".into()].into(),
        ..Account::default()
    };
    let warnings = warnings(annotations, one_container(), &account);
    for part in [
        "did you mean azure.workload.identity/inject-proxy-sidecar?",
        "pod: unknown annotation azure.workload.identity/client-id: it belongs on the service account",
        "azure.workload.identity/use: it is a label",
        "not configured for identity bindings",
        "pod: unknown annotation azure.workload.identity/something",
        "\"my-app\": that is not a client id",
        "that is not a tenant",
        "did you mean azure.workload.identity/client-id?",
    ] {
        assert!(
            warnings.iter().any(|it| it.contains(part)),
            "no {part:?} in {warnings:#?}"
        );
    }
    assert_eq!(warnings.len(), 8, "{warnings:#?}");
    assert!(warnings.iter().all(|it| it.len() <= 256), "{warnings:#?}");
}

#[test]
fn warns_about_a_missing_client_id_unless_containers_set_their_own() {
    let warnings = |spec| warnings(Value::Null, spec, &Account::default());
    let text = warnings(one_container());
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(
        text[0].contains("azure.workload.identity/client-id"),
        "{text:?}"
    );
    let own = json!({
        "serviceAccountName": "sa",
        "containers": [{ "name": "app", "env": [{ "name": "AZURE_CLIENT_ID", "value": "x" }] }],
    });
    assert!(warnings(own).is_empty());
    let from_elsewhere = json!({
        "serviceAccountName": "sa",
        "containers": [{ "name": "app", "envFrom": [{ "secretRef": { "name": "settings" } }] }],
    });
    assert!(warnings(from_elsewhere).is_empty());
}

#[test]
fn replaces_the_identity_when_another_webhook_changed_the_service_account() {
    let other = Account {
        client_id: "aaaaaaaa-4057-5ddf-91e0-36dec72071f5".into(),
        tenant_id: "contoso.com".into(),
        ..Account::default()
    };
    let spec = json!({
        "containers": [
            { "name": "app" },
            // The user's own value, equal to the injected one.
            { "name": "own", "env": [{ "name": "AZURE_CLIENT_ID", "value": CLIENT_ID }] },
        ],
    });
    let mut first = mutated(&pod(with_proxy(), spec), &config(true), &account()).pod;
    first["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "late" }));

    let second = mutated(&first, &config(true), &other);
    for name in ["app", "late", "azwi-proxy"] {
        let container = second.container(name);
        assert_eq!(
            variable(container, "AZURE_CLIENT_ID"),
            Some(&*other.client_id),
            "{name}"
        );
        assert_eq!(
            variable(container, "AZURE_TENANT_ID"),
            Some("contoso.com"),
            "{name}"
        );
    }
    let own = second.container("own");
    assert_eq!(variable(own, "AZURE_CLIENT_ID"), Some(CLIENT_ID));
    assert_eq!(variable(own, "AZURE_TENANT_ID"), Some("contoso.com"));

    // An account without a client id: the old identity is removed.
    let third = mutated(&second.pod, &config(true), &Account::default());
    assert_eq!(
        variable(third.container("app"), "AZURE_CLIENT_ID"),
        Some("")
    );
    let sentence = "AZURE_CLIENT_ID is not set";
    assert!(third.warnings.iter().any(|it| it.contains(sentence)));
    assert!(!second.warnings.iter().any(|it| it.contains(sentence)));
}

#[test]
fn moves_its_init_containers_before_one_that_another_tool_put_there() {
    let mut first = mutated(
        &pod(with_proxy(), one_container()),
        &config(true),
        &account(),
    )
    .pod;
    let init = first["spec"]["initContainers"].as_array_mut().unwrap();
    init.insert(0, json!({ "name": "mesh-init" }));
    let second = mutated(&first, &config(true), &account());
    assert_eq!(
        second.names("initContainers"),
        ["azwi-proxy-init", "azwi-proxy", "mesh-init"]
    );
    let moves: Vec<_> = second
        .operations
        .iter()
        .filter(|it| it["op"] == "move")
        .collect();
    assert_eq!(moves.len(), 2, "{:?}", second.operations);
    assert!(second.warnings.is_empty(), "{:?}", second.warnings);

    // As upstream leaves them: the proxy first, the redirect last.
    let spec = json!({
        "initContainers": [
            {
                "name": "azwi-proxy",
                "image": "mcr.microsoft.com/oss/azure/workload-identity/proxy:v1.5.1",
                "args": ["--proxy-port=8000", "--log-level=info"],
                "restartPolicy": "Always",
            },
            { "name": "migrate" },
            {
                "name": "azwi-proxy-init",
                "image": "mcr.microsoft.com/oss/azure/workload-identity/proxy-init:v1.5.1",
                "env": [{ "name": "PROXY_PORT", "value": "8000" }],
            },
        ],
        "containers": [{ "name": "app" }],
    });
    let restored = mutated(&pod(with_proxy(), spec), &config(true), &account());
    assert_eq!(
        restored.names("initContainers"),
        ["azwi-proxy-init", "azwi-proxy", "migrate"]
    );
    assert!(restored.warnings.is_empty(), "{:?}", restored.warnings);
}

#[test]
fn says_that_a_container_of_its_name_may_be_another_one() {
    let image = "registry.example.com/proxy-init";
    let other = "it has another command or arguments";
    for (fields, doubt) in [
        (
            json!({ "image": "registry.example.com/proxy:v0", "command": ["/proxy-init"] }),
            None,
        ),
        (json!({ "image": image, "command": [], "args": null }), None),
        (
            json!({ "image": "mirror/proxy", "command": ["/proxy-init"] }),
            Some("its image is \"mirror/proxy\", not registry.example.com/proxy:v1"),
        ),
        (
            json!({ "image": "busybox", "command": ["/proxy-init"] }),
            Some("its image is \"busybox\", not registry.example.com/proxy:v1"),
        ),
        // The image's own program is the proxy.
        (
            json!({ "image": "registry.example.com/proxy:v1" }),
            Some(other),
        ),
        (
            json!({ "image": image, "command": ["/proxy-init", "x"] }),
            Some(other),
        ),
        (
            json!({ "image": image, "args": ["--version"] }),
            Some(other),
        ),
        (
            json!({ "image": image, "env": [{ "name": "METADATA_IP", "value": "192.0.2.1" }] }),
            Some("it sets METADATA_IP, "),
        ),
        (
            json!({ "image": image, "envFrom": [{ "configMapRef": { "name": "settings" } }] }),
            Some("it sets METADATA_IP, "),
        ),
        (
            json!({ "image": image, "restartPolicy": "Always" }),
            Some("it has restartPolicy: Always"),
        ),
        (
            json!({ "image": image, "volumeMounts": [{ "name": "v", "mountPath": "/proxy-init" }] }),
            Some("it mounts a volume over its program"),
        ),
        (
            json!({ "image": image, "volumeMounts": [{ "name": "v", "mountPath": "/x/.." }] }),
            Some("it mounts a volume over its program"),
        ),
        // The API server's own.
        (
            json!({ "image": image, "volumeMounts": [{
                "name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }] }),
            None,
        ),
    ] {
        let init = json!([named("azwi-proxy-init", fields)]);
        let spec = json!({ "initContainers": init, "containers": [{ "name": "app" }] });
        assert_doubted(spec, doubt.map(|doubt| ("azwi-proxy-init", doubt)));
    }
}

#[test]
fn says_that_a_proxy_of_its_name_may_be_another_one() {
    let image = "registry.example.com/proxy";
    let spec = |list: &str, fields: Value| {
        let mut spec = json!({ "initContainers": [], "containers": [{ "name": "app" }] });
        let containers = spec[list].as_array_mut().unwrap();
        containers.push(named("azwi-proxy", fields));
        spec
    };
    assert_doubted(spec("containers", json!({ "image": image })), None);
    for (list, fields, doubt) in [
        (
            "containers",
            json!({ "image": image, "command": ["sh"] }),
            "it has another command or arguments",
        ),
        ("containers", json!({}), "its image is \"\", not"),
        (
            "containers",
            json!({ "image": image, "volumeMounts": [{ "name": "v", "mountPath": "/proxy" }] }),
            "it mounts a volume over its program",
        ),
        (
            "initContainers",
            json!({ "image": image }),
            "it is an init container without restartPolicy: Always",
        ),
    ] {
        assert_doubted(spec(list, fields), Some(("azwi-proxy", doubt)));
    }
    let mut both = spec("containers", json!({}));
    both["initContainers"] = json!([{ "name": "azwi-proxy-init" }]);
    let result = mutated(&pod(with_proxy(), both), &config(true), &account());
    assert_eq!(result.audit["unverified"], "azwi-proxy-init,azwi-proxy");
    assert_eq!(result.warnings.len(), 2, "{:?}", result.warnings);
}

/// Checks the warning and the audit annotations of a pod in which this container is in doubt.
fn assert_doubted(spec: Value, doubted: Option<(&str, &str)>) {
    let result = mutated(&pod(with_proxy(), spec.clone()), &config(true), &account());
    let (name, doubt) = doubted.unzip();
    assert_eq!(
        result.audit.get("unverified").map(String::as_str),
        name,
        "{spec}"
    );
    let injected = if name.is_none() {
        "token,proxy"
    } else {
        "token"
    };
    assert_eq!(result.audit["injected"], injected, "{spec}");
    let warning = name.map(|name| format!("container {name} may not be the webhook's: "));
    let warning = warning
        .into_iter()
        .zip(doubt)
        .map(|(start, doubt)| start + doubt);
    for (found, expected) in result.warnings.iter().zip(warning.clone()) {
        assert!(found.starts_with(&expected), "{found}");
    }
    assert_eq!(
        result.warnings.len(),
        warning.count(),
        "{:?}",
        result.warnings
    );

    // Without the sidecar nothing is said of such containers, and nothing is claimed.
    let result = mutated(&pod(Value::Null, spec), &config(true), &account());
    assert_eq!(result.audit["injected"], "token");
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
}

#[test]
fn mode_environment_needs_no_redirect() {
    let mut annotations = with_proxy();
    annotations["azure.workload.identity/proxy-mode"] = "environment".into();
    let spec = json!({
        "initContainers": [{ "name": "azwi-proxy-init", "image": "busybox" }],
        "containers": [{ "name": "app" }],
    });
    let result = mutated(&pod(annotations, spec), &config(true), &account());
    assert_eq!(result.audit["injected"], "token,proxy-environment");
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
}

/// The redirect exempts every process of that user, whatever the name of its container.
#[test]
fn refuses_the_proxys_user_to_a_container_that_may_be_another_one() {
    let spec = |name: &str, image: &str, command: Value| {
        let container = json!({
            "name": name,
            "image": image,
            "command": command,
            "securityContext": { "runAsUser": 1501 },
        });
        json!({ "containers": [{ "name": "app" }, container] })
    };
    for (name, image, command) in [
        ("azwi-proxy", "busybox", Value::Null),
        ("azwi-proxy", "registry.example.com/proxy:v1", json!(["sh"])),
        (
            "azwi-proxy-init",
            "registry.example.com/proxy-init",
            Value::Null,
        ),
    ] {
        let text = denial(with_proxy(), spec(name, image, command));
        let start = format!("container {name:?} runs as user 1501");
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains("may be another one: it"), "{text}");
    }
    // An image that another webhook took from a mirror is no reason.
    for image in [
        "registry.example.com/proxy:v0",
        "mirror.example.com/x/proxy@sha256:0",
    ] {
        mutated(
            &pod(with_proxy(), spec("azwi-proxy", image, json!([]))),
            &config(true),
            &account(),
        );
    }
}

fn named(name: &str, mut fields: Value) -> Value {
    fields["name"] = name.into();
    fields
}

/// Each mount of the token's volume is hidden by the last mount.
#[test]
fn decides_about_thousands_of_mounts_in_time() {
    let hidden = json!({ "name": "azure-identity-token", "mountPath": "/a" });
    let mut mounts = vec![hidden; 49_000];
    mounts.push(json!({ "name": "v", "mountPath": "/a/azure-identity-token" }));
    let spec = json!({ "containers": [{ "name": "app", "volumeMounts": mounts }] });
    let (sender, decided) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let result = mutated(&pod(Value::Null, spec), &config(true), &account());
        let app = &result.pod["spec"]["containers"][0];
        let file = variable(app, "AZURE_FEDERATED_TOKEN_FILE").map(str::to_owned);
        sender.send(file).unwrap();
    });
    let file = decided.recv_timeout(testkit::poll::MINUTE).unwrap();
    assert_eq!(file.as_deref(), Some(TOKEN_FILE));
}

#[test]
fn never_inserts_a_container_twice() {
    let spec = json!({
        "initContainers": [{ "name": "azwi-proxy-init" }, { "name": "migrate" }],
        "containers": [{ "name": "azwi-proxy" }, { "name": "app" }],
    });
    for native in [true, false] {
        let result = mutated(
            &pod(with_proxy(), spec.clone()),
            &config(native),
            &account(),
        );
        assert_eq!(
            result.names("initContainers"),
            ["azwi-proxy-init", "migrate"]
        );
        assert_eq!(result.names("containers"), ["azwi-proxy", "app"]);
        assert_eq!(
            variable(result.container("azwi-proxy"), "AZURE_CLIENT_ID"),
            Some(CLIENT_ID)
        );
        assert_eq!(
            *result.container("azwi-proxy-init"),
            json!({ "name": "azwi-proxy-init" })
        );
    }
    // The init container alone: the proxy is inserted right behind it.
    let spec = json!({
        "initContainers": [{ "name": "azwi-proxy-init" }, { "name": "migrate" }],
        "containers": [{ "name": "app" }],
    });
    let result = mutated(&pod(with_proxy(), spec), &config(true), &account());
    assert_eq!(
        result.names("initContainers"),
        ["azwi-proxy-init", "azwi-proxy", "migrate"]
    );
}

#[test]
fn gives_identity_bindings_their_audience_variables_and_authority() {
    let mut config = config(true);
    config.bindings = Some(Bindings {
        annotation: "azure.workload.identity/use-identity-binding".to_owned(),
        audience: "api://AKSIdentityBinding".to_owned(),
        environment: vec![
            (
                "AZURE_KUBERNETES_TOKEN_PROXY",
                "https://proxy.example".to_owned(),
            ),
            (
                "AZURE_KUBERNETES_CA_FILE",
                "/var/run/secrets/azure/wi/ca-cert/ca.crt".to_owned(),
            ),
        ],
        ca: Some(CaSource::ConfigMap("proxy-ca".to_owned())),
    });
    let annotations = json!({
        "azure.workload.identity/use-identity-binding": "True",
        "azure.workload.identity/inject-proxy-sidecar": "true",
    });
    let result = mutated(&pod(annotations, one_container()), &config, &account());
    let volumes = result.pod["spec"]["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 2);
    assert_eq!(
        volumes[0]["projected"]["sources"][0]["configMap"]["name"],
        "proxy-ca"
    );
    assert_eq!(
        volumes[1]["projected"]["sources"][0]["serviceAccountToken"]["audience"],
        "api://AKSIdentityBinding"
    );
    for name in ["app", "azwi-proxy"] {
        let container = result.container(name);
        assert_eq!(
            variable(container, "AZURE_KUBERNETES_TOKEN_PROXY"),
            Some("https://proxy.example")
        );
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounts
                .iter()
                .any(|it| it["mountPath"] == "/var/run/secrets/azure/wi/ca-cert"),
            "{mounts:?}"
        );
    }
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);

    let plain = mutated(&pod(Value::Null, one_container()), &config, &account());
    assert_eq!(plain.pod["spec"]["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(
        variable(plain.container("app"), "AZURE_KUBERNETES_TOKEN_PROXY"),
        None
    );
}

#[test]
fn prefers_the_pods_resources_to_the_operators() {
    let annotations = json!({
        "azure.workload.identity/inject-proxy-sidecar": "true",
        "azure.workload.identity/proxy-cpu-request": "50m",
        "azure.workload.identity/proxy-cpu-limit": "100m",
        "azure.workload.identity/proxy-memory-limit": "12Mi",
    });
    let result = mutated(
        &pod(annotations, one_container()),
        &config(true),
        &account(),
    );
    for name in ["azwi-proxy", "azwi-proxy-init"] {
        assert_eq!(
            result.container(name)["resources"],
            json!({ "limits": { "cpu": "100m", "memory": "12Mi" }, "requests": { "cpu": "50m" } }),
            "the operator's request may exceed the limit"
        );
    }
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
    let mut annotations = with_proxy();
    annotations["azure.workload.identity/proxy-memory-request"] = "64MB".into();
    let text = denial(annotations, one_container());
    assert!(
        text.contains("proxy-memory-request") && text.contains("\"64MB\""),
        "{text}"
    );
}

/// linkerd2#6786, istio#16175.
#[test]
fn keeps_a_guaranteed_pod_guaranteed() {
    let equal = json!({ "cpu": "1", "memory": "1Gi" });
    let guaranteed = json!({ "limits": equal, "requests": { "cpu": "1000m", "memory": "1Gi" } });
    let burstable = json!({ "limits": equal, "requests": { "cpu": "100m" } });
    let spec = |init: &Value| {
        json!({
            "initContainers": [{ "name": "early", "resources": init }],
            "containers": [{ "name": "app", "resources": guaranteed }],
        })
    };
    for native in [true, false] {
        let result = mutated(
            &pod(with_proxy(), spec(&guaranteed)),
            &config(native),
            &account(),
        );
        for name in ["azwi-proxy", "azwi-proxy-init"] {
            let resources = &result.container(name)["resources"];
            assert_eq!(resources["limits"]["cpu"], "50m");
            assert_eq!(resources["limits"], resources["requests"], "{name}");
        }
        let result = mutated(
            &pod(with_proxy(), spec(&burstable)),
            &config(native),
            &account(),
        );
        let resources = &result.container("azwi-proxy")["resources"];
        assert_eq!(resources, &json!({ "requests": { "memory": "16Mi" } }));
    }
}

/// vault-k8s#310.
#[test]
fn sets_ephemeral_storage_for_the_proxy() {
    let mut annotations = with_proxy();
    annotations["azure.workload.identity/proxy-ephemeral-storage-limit"] = "1Gi".into();
    annotations["azure.workload.identity/proxy-ephemeral-storage-request"] = "2Mi".into();
    let result = mutated(
        &pod(annotations, one_container()),
        &config(true),
        &account(),
    );
    for name in ["azwi-proxy", "azwi-proxy-init"] {
        let resources = &result.container(name)["resources"];
        assert_eq!(resources["limits"]["ephemeral-storage"], "1Gi", "{name}");
        assert_eq!(resources["requests"]["ephemeral-storage"], "2Mi", "{name}");
    }
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);
}

#[test]
fn passes_the_identity_map_to_the_proxy_alone() {
    let map = format!("/subscriptions/s/x={CLIENT_ID}; 0000={CLIENT_ID},");
    let mut annotations = with_proxy();
    annotations["azure.workload.identity/identity-map"] = map.as_str().into();
    let result = mutated(
        &pod(annotations.clone(), one_container()),
        &config(true),
        &account(),
    );
    assert_eq!(
        variable(result.container("azwi-proxy"), "AZWI_IDENTITY_MAP"),
        Some(&*map)
    );
    assert_eq!(variable(result.container("app"), "AZWI_IDENTITY_MAP"), None);
    assert!(result.warnings.is_empty(), "{:?}", result.warnings);

    annotations["azure.workload.identity/identity-map"] = "a=b".into();
    assert!(denial(annotations, one_container()).contains("identity-map"));
}

#[test]
fn passes_what_to_do_before_the_application_starts_to_the_proxy_alone() {
    let prefixed = |name: &str| format!("azure.workload.identity/{name}");
    let resources = "https://vault.azure.net, https://vault.azure.net/";
    let mut annotations = with_proxy();
    annotations[prefixed("proxy-prefetch")] = resources.into();
    annotations[prefixed("proxy-verify")] = " enforce ".into();
    let asking = pod(annotations, one_container());
    for (native, verify) in [(true, "enforce"), (false, "warn")] {
        let result = mutated(&asking, &config(native), &account());
        for (name, value) in [("AZWI_PREFETCH", resources), ("AZWI_VERIFY", verify)] {
            assert_eq!(variable(result.container("azwi-proxy"), name), Some(value));
            assert_eq!(variable(result.container("app"), name), None);
        }
        let mut warnings = result.warnings.iter();
        let is_warned = warnings.any(|it| it.contains("needs a native sidecar"));
        assert_eq!(is_warned, !native, "{:?}", result.warnings);
    }
    for (name, value, part) in [
        ("proxy-prefetch", "https://a https://b", "with commas"),
        (
            "proxy-prefetch",
            "https://a/.default",
            "leave out /.default",
        ),
        ("proxy-verify", "true", "\"warn\" or \"enforce\""),
    ] {
        let mut annotations = with_proxy();
        annotations[prefixed(name)] = value.into();
        let denial = denial(annotations, one_container());
        assert!(denial.contains(name) && denial.contains(part), "{denial}");
    }
    let without_proxy =
        json!({ prefixed("proxy-prefetch"): "a", prefixed("proxy-verify"): "warn" });
    let result = mutated(
        &pod(without_proxy, one_container()),
        &config(true),
        &account(),
    );
    for name in ["proxy-prefetch", "proxy-verify"] {
        let sentence = format!("{} has no effect without", prefixed(name));
        assert!(
            result.warnings.iter().any(|it| it.contains(&sentence)),
            "{sentence}"
        );
    }
}

#[test]
fn only_a_native_sidecar_shuts_down_at_once() {
    for (native, expected) in [(true, Some("now")), (false, None)] {
        let result = mutated(
            &pod(with_proxy(), one_container()),
            &config(native),
            &account(),
        );
        assert_eq!(
            variable(result.container("azwi-proxy"), "AZWI_SHUTDOWN"),
            expected
        );
    }
}

#[test]
fn a_plain_sidecar_lingers_as_long_as_the_pod_or_the_operator_says() {
    let key = "azure.workload.identity/proxy-linger-seconds";
    let lingers = |annotation: Option<&str>, operator: Option<&str>, native| {
        let mut annotations = with_proxy();
        if let Some(seconds) = annotation {
            annotations[key] = seconds.into();
        }
        let mut config = config(native);
        config.sidecar.linger_seconds = operator.map(|it| it.parse().unwrap());
        let result = mutated(&pod(annotations, one_container()), &config, &account());
        variable(result.container("azwi-proxy"), "AZWI_SHUTDOWN").map(str::to_owned)
    };
    assert_eq!(
        lingers(Some(" 60 "), Some("7"), false).as_deref(),
        Some("60")
    );
    assert_eq!(lingers(None, Some("7"), false).as_deref(), Some("7"));
    assert_eq!(lingers(Some("60"), Some("7"), true).as_deref(), Some("now"));
    for wrong in ["now", "linger", "0", "1m"] {
        let mut annotations = with_proxy();
        annotations[key] = wrong.into();
        let denial = denial(annotations, one_container());
        assert!(denial.contains("from 1 to 86400"), "{denial}");
    }
}

#[test]
fn containers_may_end_a_plain_sidecar_if_the_pod_or_the_operator_says_so() {
    let key = "azure.workload.identity/proxy-quit";
    let quit = |annotation: Option<&str>, operator, native| {
        let mut annotations = with_proxy();
        if let Some(text) = annotation {
            annotations[key] = text.into();
        }
        let mut config = config(native);
        config.sidecar.quit = operator;
        let result = mutated(&pod(annotations, one_container()), &config, &account());
        assert_eq!(variable(result.container("app"), "AZWI_QUIT"), None);
        variable(result.container("azwi-proxy"), "AZWI_QUIT").map(str::to_owned)
    };
    for (annotation, operator, expected) in [
        (None, false, None),
        (None, true, Some("on")),
        (Some(" True "), false, Some("on")),
        (Some("false"), true, None),
        (Some(""), true, Some("on")),
    ] {
        let found = quit(annotation, operator, false);
        assert_eq!(found.as_deref(), expected, "{annotation:?} {operator}");
        assert_eq!(quit(annotation, operator, true), None);
    }
    let mut annotations = with_proxy();
    annotations[key] = "on".into();
    let denial = denial(annotations, one_container());
    assert!(
        denial.contains(key) && denial.contains("\"on\""),
        "{denial}"
    );
}

#[test]
fn leaves_out_the_operators_resources_where_the_pod_has_its_own() {
    for whole in [
        json!({ "limits": { "cpu": "1" } }),
        json!({ "requests": { "memory": "1Gi" } }),
    ] {
        let mut spec = one_container();
        spec["resources"] = whole;
        let result = mutated(&pod(with_proxy(), spec.clone()), &config(true), &account());
        for name in ["azwi-proxy-init", "azwi-proxy"] {
            assert_eq!(result.container(name)["resources"], json!({}), "{name}");
        }
        let mut annotations = with_proxy();
        annotations["azure.workload.identity/proxy-memory-request"] = "20Mi".into();
        let result = mutated(&pod(annotations, spec), &config(true), &account());
        assert_eq!(
            result.container("azwi-proxy")["resources"],
            json!({ "requests": { "memory": "20Mi" } })
        );
    }
    for none in [
        Value::Null,
        json!({}),
        json!({ "limits": {}, "requests": null }),
    ] {
        let mut spec = one_container();
        spec["resources"] = none;
        let result = mutated(&pod(with_proxy(), spec), &config(true), &account());
        assert_ne!(result.container("azwi-proxy")["resources"], json!({}));
    }
}

#[test]
fn serves_metrics_unless_another_container_has_the_port() {
    let with = |port| {
        let mut config = config(true);
        config.sidecar.metrics_port = port;
        config
    };
    let proxy = |spec, config| {
        let result = mutated(&pod(with_proxy(), spec), &config, &account());
        let proxy = result.container("azwi-proxy");
        let ports = proxy["ports"].as_array().unwrap().len();
        let variable = variable(proxy, "AZWI_METRICS_PORT").map(str::to_owned);
        (ports, variable, result.warnings.len())
    };
    assert_eq!(proxy(one_container(), with(None)), (1, None, 0));
    let metrics = with(Some(9464));
    let port = Some("9464".to_owned());
    assert_eq!(proxy(one_container(), metrics.clone()), (2, port, 0));
    let taken = json!({ "containers": [{ "name": "app", "ports": [{ "containerPort": 9464 }] }] });
    assert_eq!(proxy(taken, metrics.clone()), (1, None, 1));
    assert_eq!(proxy(one_container(), with(Some(8000))), (1, None, 1));

    let mut spec = one_container();
    spec["hostNetwork"] = true.into();
    let mut annotations = with_proxy();
    annotations["azure.workload.identity/proxy-mode"] = "environment".into();
    let result = mutated(&pod(annotations, spec), &metrics, &account());
    let proxy = result.container("azwi-proxy");
    assert_eq!(variable(proxy, "AZWI_METRICS_PORT"), None);
}

#[test]
fn ignores_the_mirror_of_a_static_pod() {
    let annotations = json!({ "kubernetes.io/config.mirror": "hash" });
    let bytes = pod(annotations, one_container()).to_string();
    let view: Pod<'_> = serde_json::from_str(&bytes).unwrap();
    assert!(!inject::is_wanted(&view));
}

/// Each of these pods is refused, or answered with a bounded patch and bounded warnings.
#[test]
fn bounds_the_answer_to_a_short_review() {
    const LENGTH: usize = 500_000;
    let long = "a".repeat(LENGTH);
    let names: Vec<_> = (0..LENGTH / 7).map(|n| n.to_string()).collect();
    let containers: Vec<_> = (0..2_000)
        .map(|n| json!({ "name": format!("c{n}-{}", &long[..200]) }))
        .collect();
    let kept: Vec<_> = (0..LENGTH / 20)
        .map(|n| format!("c{n}/AZURE_CLIENT_ID"))
        .collect();
    let forged = json!({ "clientId": CLIENT_ID, "tenantId": "", "kept": kept }).to_string();
    let many = json!({ "containers": containers });
    let long_file = json!({
        "containers": containers,
        "volumes": [{
            "name": "azure-identity-token",
            "projected": { "sources": [
                { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": long } },
            ] },
        }],
    });
    let key = |name: &str| format!("azure.workload.identity/{name}");
    for (annotations, spec) in [
        (
            json!({ key("skip-containers"): "a,".repeat(LENGTH / 2) }),
            many.clone(),
        ),
        (
            json!({ key("skip-containers"): names.join(",") }),
            many.clone(),
        ),
        (json!({ key(&long): "x" }), one_container()),
        (json!({ key("injected"): forged }), many.clone()),
        (
            json!({ key("inject-proxy-sidecar"): "true", key("proxy-mode"): "environment" }),
            many,
        ),
        (json!({}), long_file),
        (json!({}), json!({ "containers": [{ "name": long }] })),
    ] {
        let pod = pod(annotations, spec);
        let answer = mutate(&pod, &config(true), &account());
        if let Ok(mutated) = answer {
            let length: usize = mutated.warnings.iter().map(String::len).sum();
            assert!(length < 16 * 1024, "{length}");
            let patch = json!(mutated.operations).to_string().len();
            assert!(patch < 4 * 1024 * 1024, "{patch}");
        }
    }
}
