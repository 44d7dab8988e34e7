//! Containers and pods that have something else where the token and the certificates of identity bindings
//! would be.

use serde_json::{Value, json};
use webhook::inject::{Bindings, CaSource};

use crate::fixture::{Mutated, TOKEN_FILE, account, config, mutated, pod, variable};

/// The same directory under other names, and mounts that would hide the token or that no directory can
/// be made in.
#[test]
fn mounts_the_token_elsewhere_where_a_container_has_something_else() {
    let directory = "/var/run/secrets/azure/tokens";
    let fallback_file = format!("{FALLBACK}/azure-identity-token");
    let cache = json!({ "name": "cache", "emptyDir": {} });
    let secret = json!({ "name": "cache", "secret": { "secretName": "s" } });
    let other = json!({ "name": "cache", "projected": { "sources": [
        { "serviceAccountToken": { "audience": "vault", "path": "azure-identity-token" } },
    ] } });
    let at = |path: &str| json!({ "name": "cache", "mountPath": path });
    let file = json!({ "name": "cache", "mountPath": TOKEN_FILE, "subPath": "token" });
    let part = json!({ "name": "cache", "mountPath": directory, "subPath": "a" });
    for (volume, mount, expected) in [
        (&cache, at(directory), &*fallback_file),
        (&other, at(directory), &fallback_file),
        (&cache, at("/var/run/secrets/azure/tokens/"), &fallback_file),
        (
            &cache,
            at("/var/run//secrets/./azure/x/../tokens"),
            &fallback_file,
        ),
        (&cache, at("/run/secrets/azure/tokens"), &fallback_file),
        (&cache, at("var/run/secrets/azure/tokens"), &fallback_file),
        (&cache, part, &fallback_file),
        (&cache, file, &fallback_file),
        (
            &cache,
            at("/var/run/secrets/azure/tokens/more"),
            &fallback_file,
        ),
        // The runtime makes a directory in a volume that can be written to.
        (&cache, at("/var/run"), TOKEN_FILE),
        (
            &secret,
            at("/var/run/secrets/azure"),
            "/azure-workload-identity/token/azure-identity-token",
        ),
        (
            &cache,
            json!({ "name": "cache", "mountPath": "/var/run/secrets", "readOnly": true }),
            "/azure-workload-identity/token/azure-identity-token",
        ),
        (
            &cache,
            at("/var/run/secrets/azure/tokens-of-mine"),
            TOKEN_FILE,
        ),
        // An image links /var/run to /run, unless a volume hides the link.
        (
            &cache,
            json!({ "name": "cache", "mountPath": "/var", "readOnly": true }),
            "/azure-workload-identity/token/azure-identity-token",
        ),
        (&cache, at("/var"), TOKEN_FILE),
    ] {
        let spec = json!({
            "containers": [{ "name": "app", "volumeMounts": [mount] }, { "name": "helper" }],
            "volumes": [volume],
        });
        let result = mutated(
            &pod(
                json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }),
                spec,
            ),
            &config(true),
            &account(),
        );
        let (mounted, found) = token_of(&result, "app");
        assert_eq!(found, expected, "{mount} of {volume}");
        assert_eq!(format!("{mounted}/azure-identity-token"), expected);
        for name in ["helper", "azwi-proxy"] {
            assert_eq!(token_of(&result, name), (directory, TOKEN_FILE), "{mount}");
        }
        let path = mount["mountPath"].as_str().unwrap().trim_end_matches('/');
        let sentence = format!(
            "container app mounts volume cache at {path}: its token is {expected}, as \
             AZURE_FEDERATED_TOKEN_FILE says"
        );
        let expected = if expected == TOKEN_FILE {
            vec![]
        } else {
            vec![sentence]
        };
        assert_eq!(result.warnings, expected, "{mount} of {volume}");
    }
}

/// The kubelet mounts these volumes read-only too: the runtime could make no directory in them.
#[test]
fn mounts_the_token_in_no_volume_that_is_read_only() {
    for (kind, fields) in [
        ("persistentVolumeClaim", json!({ "claimName": "c" })),
        ("nfs", json!({ "server": "s", "path": "/" })),
        ("azureFile", json!({ "secretName": "s", "shareName": "s" })),
        ("azureDisk", json!({ "diskName": "d", "diskURI": "u" })),
        ("csi", json!({ "driver": "d" })),
        ("iscsi", json!({ "iqn": "i" })),
    ] {
        for (read_only, expected) in [
            (true, "/azure-workload-identity/token/azure-identity-token"),
            (false, TOKEN_FILE),
        ] {
            let mut fields = fields.clone();
            fields["readOnly"] = read_only.into();
            let mount = json!({ "name": "data", "mountPath": "/var/run/secrets" });
            let spec = json!({
                "containers": [{ "name": "app", "volumeMounts": [mount] }],
                "volumes": [{ "name": "data", kind: fields }],
            });
            let result = mutated(&pod(Value::Null, spec), &config(true), &account());
            assert_eq!(token_of(&result, "app").1, expected, "{kind} {read_only}");
        }
    }
}

/// Upstream's path, which charts made for it may set themselves.
#[test]
fn mounts_the_token_where_the_containers_own_variable_says() {
    for (value, directory) in [
        (
            "/var/run/secrets/azure/wi/token/azure-identity-token",
            FALLBACK,
        ),
        (
            "/run/secrets/azure/wi/token//azure-identity-token",
            FALLBACK,
        ),
        (TOKEN_FILE, "/var/run/secrets/azure/tokens"),
    ] {
        let set = json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": value });
        let spec = json!({ "containers": [{ "name": "app", "env": [set] }] });
        let result = mutated(&pod(Value::Null, spec), &config(true), &account());
        assert_eq!(token_of(&result, "app"), (directory, value));
        assert_eq!(result.warnings, [] as [String; 0], "{value}");
    }
}

#[test]
fn warns_where_a_containers_own_variable_names_a_file_that_is_not_there() {
    let own = json!([{ "name": "own", "mountPath": "/own" }]);
    for (value, mounts, warns) in [
        ("/etc/azure/token", &Value::Null, true),
        ("/var/run/secrets/azure/tokens/token", &Value::Null, true),
        ("/own/token", &Value::Null, true),
        // The webhook cannot know what is in these.
        ("/own/token", &own, false),
        ("$(DIRECTORY)/token", &Value::Null, false),
        ("", &Value::Null, false),
    ] {
        let set = json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": value });
        let spec = json!({
            "containers": [{ "name": "app", "env": [set], "volumeMounts": mounts }],
            "volumes": [{ "name": "own", "emptyDir": {} }],
        });
        let result = mutated(&pod(Value::Null, spec), &config(true), &account());
        let sentence = format!(
            "container app sets AZURE_FEDERATED_TOKEN_FILE to {value:?}, where no volume is mounted: its \
             token is {TOKEN_FILE}. Remove the variable"
        );
        let expected: Vec<_> = warns.then_some(sentence).into_iter().collect();
        assert_eq!(result.warnings, expected, "{value}");
    }
}

#[test]
fn warns_where_a_containers_own_variable_names_another_token_file() {
    let mount = json!({ "name": "cache", "mountPath": "/var/run/secrets/azure/tokens" });
    let set = json!({ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": TOKEN_FILE });
    let spec = json!({
        "containers": [{ "name": "app", "volumeMounts": [mount], "env": [set] }],
        "volumes": [{ "name": "cache", "emptyDir": {} }],
    });
    let result = mutated(&pod(Value::Null, spec), &config(true), &account());
    assert_eq!(token_of(&result, "app"), (FALLBACK, TOKEN_FILE));
    let sentence = "container app mounts volume cache at /var/run/secrets/azure/tokens: its token is \
                    /var/run/secrets/azure/wi/token/azure-identity-token, but the container sets \
                    AZURE_FEDERATED_TOKEN_FILE itself";
    assert_eq!(result.warnings, [sentence]);
}

#[test]
fn says_where_a_container_has_no_place_left_for_the_token() {
    let paths = [
        "/var/run/secrets/azure/tokens",
        FALLBACK,
        "/azure-workload-identity/token",
    ];
    let mounts = paths.map(|path| json!({ "name": "cache", "mountPath": path }));
    let spec = json!({
        "containers": [{ "name": "app", "volumeMounts": mounts }],
        "volumes": [{ "name": "cache", "emptyDir": {} }],
    });
    let result = mutated(&pod(Value::Null, spec), &config(true), &account());
    let app = result.container("app");
    assert_eq!(app["volumeMounts"].as_array().unwrap().len(), 3);
    assert_eq!(variable(app, "AZURE_FEDERATED_TOKEN_FILE"), None);
    let sentence = "container app mounts volume cache at /var/run/secrets/azure/tokens, and others \
                    wherever its token could be: it has none. Move one of them";
    assert_eq!(result.warnings, [sentence]);
}

#[test]
fn gives_the_tokens_volume_another_name_where_the_pod_has_one_of_this_name() {
    let token = |audience: &str| {
        json!({ "projected": { "sources": [
        { "serviceAccountToken": { "audience": audience, "path": "azure-identity-token" } },
    ] } })
    };
    for (others, expected) in [
        (
            vec![("azure-identity-token", json!({ "emptyDir": {} }))],
            "azure-identity-token-1",
        ),
        (
            vec![("azure-identity-token", token("vault"))],
            "azure-identity-token-1",
        ),
        (
            vec![
                ("azure-identity-token-1", json!({ "emptyDir": {} })),
                (
                    "azure-identity-token",
                    json!({ "secret": { "secretName": "s" } }),
                ),
            ],
            "azure-identity-token-2",
        ),
        (
            vec![
                ("azure-identity-token", json!({ "emptyDir": {} })),
                ("mine", token("api://AzureADTokenExchange")),
            ],
            "mine",
        ),
    ] {
        let volumes: Vec<_> = others
            .iter()
            .map(|(name, volume)| named(name, volume))
            .collect();
        let mount =
            json!({ "name": "azure-identity-token", "mountPath": "/var/run/secrets/azure/tokens" });
        let spec = json!({
            "containers": [{ "name": "app", "volumeMounts": [mount] }, { "name": "helper" }],
            "volumes": volumes,
        });
        let result = mutated(
            &pod(
                json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }),
                spec,
            ),
            &config(true),
            &account(),
        );
        let after = result.pod["spec"]["volumes"].as_array().unwrap();
        assert_eq!(after[..volumes.len()], volumes);
        assert!(after.iter().any(|it| it["name"] == expected), "{after:?}");
        assert_eq!(token_of(&result, "app").0, FALLBACK);
        for name in ["helper", "azwi-proxy"] {
            assert_eq!(token_of(&result, name).1, TOKEN_FILE);
            let mounts = &result.container(name)["volumeMounts"];
            assert_eq!(mounts[0]["name"], expected);
        }
        assert_eq!(result.warnings.len(), 1, "{:?}", result.warnings);
    }
}

#[test]
fn the_authority_of_identity_bindings_has_another_name_and_place_where_they_are_taken() {
    let mut config = config(true);
    let directory = "/var/run/secrets/azure/wi/ca-cert";
    config.bindings = Some(Bindings {
        annotation: "azure.workload.identity/use-identity-binding".to_owned(),
        audience: "api://AKSIdentityBinding".to_owned(),
        environment: vec![("AZURE_KUBERNETES_CA_FILE", format!("{directory}/ca.crt"))],
        ca: Some(CaSource::ConfigMap("proxy-ca".to_owned())),
    });
    let name = "azure-identity-token-proxy-ca";
    let spec = json!({
        "containers": [
            { "name": "app", "volumeMounts": [{ "name": name, "mountPath": directory }] },
            { "name": "helper" },
        ],
        "volumes": [{ "name": name, "emptyDir": {} }],
    });
    let annotations = json!({ "azure.workload.identity/use-identity-binding": "true" });
    let result = mutated(&pod(annotations, spec), &config, &account());
    let volumes = &result.pod["spec"]["volumes"];
    assert_eq!(volumes[1]["name"], "azure-identity-token-proxy-ca-1");
    for (container, expected) in [
        ("app", "/azure-workload-identity/ca-cert"),
        ("helper", directory),
    ] {
        let container = result.container(container);
        let mounts = container["volumeMounts"].as_array().unwrap();
        let of_authority = json!({
            "name": "azure-identity-token-proxy-ca-1", "mountPath": expected, "readOnly": true,
        });
        assert!(mounts.contains(&of_authority), "{mounts:?}");
        let file = variable(container, "AZURE_KUBERNETES_CA_FILE").unwrap();
        assert_eq!(file, format!("{expected}/ca.crt"));
    }
    let sentence = format!(
        "container app mounts volume {name} at {directory}: its file with the token proxy's \
         certificates is /azure-workload-identity/ca-cert/ca.crt, as AZURE_KUBERNETES_CA_FILE says"
    );
    assert_eq!(result.warnings, [sentence]);
}

/// The container's mount of the token, and the path in its variable.
fn token_of<'a>(result: &'a Mutated, name: &str) -> (&'a str, &'a str) {
    let container = result.container(name);
    let volumes = result.pod["spec"]["volumes"].as_array().unwrap();
    let of_token = volumes.iter().find(|volume| {
        let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
        token["audience"] == "api://AzureADTokenExchange"
    });
    let volume = &of_token.unwrap()["name"];
    let mut mounts = container["volumeMounts"].as_array().unwrap().iter();
    let mount = mounts.find(|it| it["name"] == *volume && it["readOnly"] == true);
    let directory = mount.unwrap()["mountPath"].as_str().unwrap();
    let file = variable(container, "AZURE_FEDERATED_TOKEN_FILE").unwrap();
    (directory, file)
}

fn named(name: &str, volume: &Value) -> Value {
    let mut volume = volume.clone();
    volume["name"] = name.into();
    volume
}

/// Upstream's directory.
const FALLBACK: &str = "/var/run/secrets/azure/wi/token";
