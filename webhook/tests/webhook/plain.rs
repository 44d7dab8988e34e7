//! A second, plain implementation of the mutation: on the pod as a JSON value, without regard for
//! speed. It covers pods that were not mutated before and have no options but the proxy.

use serde_json::{Value, json};
use webhook::inject::{Account, Config, Resources};

const DIRECTORY: &str = "/var/run/secrets/azure/tokens";
const OTHER_DIRECTORIES: [&str; 2] = [
    "/var/run/secrets/azure/wi/token",
    "/azure-workload-identity/token",
];
const VOLUME: &str = "azure-identity-token";
const PREFIX: &str = "azure.workload.identity";

/// Whether this implementation covers the pod.
pub(crate) fn covers(pod: &Value) -> bool {
    let annotations = pod["metadata"]["annotations"].as_object();
    let mut ours = annotations.into_iter().flatten().map(|(key, _)| key);
    let known = ["inject-proxy-sidecar", "skip-containers"].map(|key| format!("{PREFIX}/{key}"));
    ours.all(|key| !key.starts_with(PREFIX) || known.contains(key)) && !has_injected(pod)
}

/// Whether a container with the name of an injected one may be one: all of these have an image.
fn has_injected(pod: &Value) -> bool {
    let lists = ["initContainers", "containers"].into_iter();
    let mut containers = lists.flat_map(|list| entries(&pod["spec"][list]));
    containers.any(|it| {
        ["azwi-proxy-init", "azwi-proxy"].contains(&text(&it["name"])) && it["image"].is_string()
    })
}

/// The mutated pod without random keys, with the annotation `injected` as JSON instead of text.
pub(crate) fn expected(pod: &Value, config: &Config, account: &Account) -> Value {
    let mut pod = pod.clone();
    let annotation = |key: &str| pod["metadata"]["annotations"][format!("{PREFIX}/{key}")].as_str();
    let wants_proxy = annotation("inject-proxy-sidecar")
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    let skipped = annotation("skip-containers").unwrap_or_default();
    let skipped = skipped.split([';', ',']).map(str::trim);
    let skipped: Vec<_> = skipped
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect();

    let (volume, file) = token(&pod, config).unwrap_or_else(|| (free_name(&pod), VOLUME.into()));
    let fixed = read_only(&pod);
    let identity = [
        ("AZURE_CLIENT_ID", &*account.client_id),
        ("AZURE_TENANT_ID", config.tenant_id.as_str()),
    ];
    let rest = |token_file: String| {
        [
            ("AZURE_FEDERATED_TOKEN_FILE", token_file),
            ("AZURE_AUTHORITY_HOST", config.authority_host.clone()),
        ]
    };
    let of_proxy = config.sidecar.environment.iter().cloned();
    let mut kept = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = text(&container["name"]).to_owned();
            if name == "azwi-proxy-init" || (name != "azwi-proxy" && skipped.contains(&name)) {
                continue;
            }
            for (variable, value) in identity {
                let existing = entries(&container["env"]).iter();
                let mut existing = existing.filter(|it| text(&it["name"]) == variable);
                if !value.is_empty()
                    && existing
                        .next()
                        .is_some_and(|it| text(&it["value"]) == value)
                {
                    kept.push(format!("{name}/{variable}"));
                }
            }
            let token_file = mount(container, &volume, &file, &fixed);
            let mut variables: Vec<_> = identity.map(|(name, it)| (name, it.to_owned())).into();
            variables.extend(rest(token_file.unwrap_or_default()));
            if name == "azwi-proxy" {
                variables.extend(of_proxy.clone());
            }
            set(container, variables);
        }
    }
    if token(&pod, config).is_none() {
        push(
            &mut pod["spec"]["volumes"],
            json!({
                "name": volume,
                "projected": { "sources": [{ "serviceAccountToken": {
                    "audience": config.audience,
                    "expirationSeconds": 3600,
                    "path": VOLUME,
                } }] },
            }),
        );
    }

    let mut marker = json!({ "clientId": *account.client_id, "tenantId": config.tenant_id });
    if !kept.is_empty() {
        marker["kept"] = kept.into();
    }
    pod["metadata"]["annotations"][format!("{PREFIX}/injected")] = marker;
    if wants_proxy {
        let mut proxy = proxy(config);
        mount(&mut proxy, &volume, &file, &fixed);
        let own = identity.map(|(name, value)| (name, value.to_owned()));
        let shutdown = config
            .sidecar
            .native
            .then(|| ("AZWI_SHUTDOWN", "now".to_owned()));
        let variables = own.into_iter().chain(rest(format!("{DIRECTORY}/{file}")));
        set(
            &mut proxy,
            variables.chain(of_proxy).chain(shutdown).collect(),
        );
        add_proxy(&mut pod, proxy, config);
    }
    without_keys(pod)
}

/// Turns the annotation `injected` of a mutated pod into JSON, and takes the random key out.
pub(crate) fn in_plain_form(pod: Value) -> Value {
    let mut pod = without_keys(pod);
    let marker = &mut pod["metadata"]["annotations"][format!("{PREFIX}/injected")];
    *marker = serde_json::from_str(marker.as_str().unwrap_or("null")).unwrap_or_default();
    pod
}

/// The pod without the key of mode `redirect`, which is random.
pub(crate) fn without_keys(mut pod: Value) -> Value {
    for list in ["initContainers", "containers"] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(variables) = container.get_mut("env").and_then(Value::as_array_mut) {
                variables.retain(|it| it["name"] != "AZWI_RELAY_KEY");
            }
        }
    }
    pod
}

/// The pod's own volume with the token, and the token's path in it.
fn token(pod: &Value, config: &Config) -> Option<(String, String)> {
    let of_audience = |volume: &Value| {
        entries(&volume["projected"]["sources"])
            .iter()
            .map(|source| &source["serviceAccountToken"])
            .find(|token| token.is_object() && text(&token["audience"]) == config.audience)
            .map(|token| text(&token["path"]).to_owned())
    };
    let volumes = entries(&pod["spec"]["volumes"]).iter();
    let usable = volumes.filter_map(|volume| {
        let path = of_audience(volume)?;
        Some((text(&volume["name"]).to_owned(), path))
    });
    let mut usable: Vec<_> = usable.collect();
    usable.sort_by_key(|(name, _)| name != VOLUME);
    usable.into_iter().next()
}

fn free_name(pod: &Value) -> String {
    let mut names = entries(&pod["spec"]["volumes"]).iter();
    if names.any(|it| text(&it["name"]) == VOLUME) {
        // No other volume of these pods has a name of this form.
        format!("{VOLUME}-1")
    } else {
        VOLUME.into()
    }
}

/// Names of the volumes that cannot be written to.
fn read_only(pod: &Value) -> Vec<String> {
    let volumes = entries(&pod["spec"]["volumes"]).iter();
    let projected = volumes.filter(|it| it["projected"].is_object());
    projected.map(|it| text(&it["name"]).to_owned()).collect()
}

/// Mounts the volume unless it is mounted. Returns the path of the file, `None` without a place.
fn mount(container: &mut Value, volume: &str, file: &str, fixed: &[String]) -> Option<String> {
    let directory = |it: &Value| text(&it["mountPath"]).trim_end_matches('/').to_owned();
    let below = |path: &str, directory: &str| path.starts_with(&format!("{directory}/"));
    let is_whole =
        |it: &&Value| text(&it["subPath"]).is_empty() && text(&it["subPathExpr"]).is_empty();
    let mounts = entries(&container["volumeMounts"]);
    let is_hidden = |top: &str| {
        let path = format!("{top}/{file}");
        let mut others = mounts.iter().map(directory);
        others.any(|it| below(&it, top) && (it == path || below(&path, &it)))
    };
    let mut whole = mounts.iter().filter(is_whole);
    if let Some(existing) =
        whole.find(|it| text(&it["name"]) == volume && !is_hidden(&directory(it)))
    {
        return Some(format!("{}/{file}", directory(existing)));
    }
    let is_free = |place: &&str| {
        mounts.iter().all(|it| {
            let other = directory(it);
            let is_fixed =
                it["readOnly"] == true || fixed.iter().any(|name| text(&it["name"]) == name);
            other != *place && !below(&other, place) && !(below(place, &other) && is_fixed)
        })
    };
    let mut places = [DIRECTORY].into_iter().chain(OTHER_DIRECTORIES);
    let place = places.find(is_free)?;
    let mount = json!({ "name": volume, "mountPath": place, "readOnly": true });
    push(&mut container["volumeMounts"], mount);
    Some(format!("{place}/{file}"))
}

/// Puts the variables that the container lacks before its own.
fn set(container: &mut Value, variables: Vec<(&str, String)>) {
    let existing = entries(&container["env"]).to_vec();
    let is_missing = |name: &str| existing.iter().all(|it| text(&it["name"]) != name);
    let missing = variables.into_iter();
    let missing = missing.filter(|(name, value)| !value.is_empty() && is_missing(name));
    let missing: Vec<_> = missing
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    if !missing.is_empty() {
        container["env"] = [missing, existing].concat().into();
    }
}

fn add_proxy(pod: &mut Value, proxy: Value, config: &Config) {
    let position = |pod: &Value, list: &str, name: &str| {
        let mut containers = entries(&pod["spec"][list]).iter();
        containers.position(|it| text(&it["name"]) == name)
    };
    let lists = ["initContainers", "containers"];
    let has_proxy = lists
        .iter()
        .any(|list| position(pod, list, "azwi-proxy").is_some());
    if position(pod, "initContainers", "azwi-proxy-init").is_none() {
        insert(&mut pod["spec"]["initContainers"], 0, proxy_init(config));
    }
    if has_proxy {
        return;
    }
    if config.sidecar.native {
        let redirect = position(pod, "initContainers", "azwi-proxy-init").unwrap_or_default();
        insert(&mut pod["spec"]["initContainers"], redirect + 1, proxy);
        return;
    }
    let default = "kubectl.kubernetes.io/default-container";
    let first = entries(&pod["spec"]["containers"]).first();
    let first = first.map(|it| text(&it["name"]).to_owned());
    let annotations = &mut pod["metadata"]["annotations"];
    if let Some(first) = first.filter(|_| annotations.get(default).is_none()) {
        annotations[default] = first.into();
    }
    insert(&mut pod["spec"]["containers"], 0, proxy);
}

fn proxy_init(config: &Config) -> Value {
    let mut capabilities = vec!["NET_ADMIN"];
    if config.sidecar.init_net_raw {
        capabilities.push("NET_RAW");
    }
    json!({
        "name": "azwi-proxy-init",
        "image": config.sidecar.init_image,
        "imagePullPolicy": config.sidecar.pull_policy,
        "command": ["/proxy-init"],
        "env": [{ "name": "PROXY_PORT", "value": "8000" }],
        "resources": resources(&config.sidecar.init_resources),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "add": capabilities, "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

fn proxy(config: &Config) -> Value {
    let level = format!("--log-level={}", config.sidecar.log_level);
    let mut proxy = json!({
        "name": "azwi-proxy",
        "image": config.sidecar.image,
        "imagePullPolicy": config.sidecar.pull_policy,
        "args": ["--proxy-port=8000", level],
        "ports": [{ "containerPort": 8000 }],
        "resources": resources(&config.sidecar.resources),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 1501,
            "runAsNonRoot": true,
            "runAsUser": 1501,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let probe = json!({ "command": ["/proxy", "--proxy-port=8000", "--probe", level] });
    proxy["lifecycle"] = json!({ "postStart": { "exec": probe } });
    if config.sidecar.native {
        proxy["restartPolicy"] = "Always".into();
    }
    proxy
}

fn resources(resources: &Resources) -> Value {
    let mut value = json!({});
    let lists = [
        ("limits", &resources.limits),
        ("requests", &resources.requests),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        value[name] = json!(list);
    }
    value
}

fn push(list: &mut Value, item: Value) {
    let end = entries(list).len();
    insert(list, end, item);
}

fn insert(list: &mut Value, index: usize, item: Value) {
    let mut items = entries(list).to_vec();
    items.insert(index, item);
    *list = items.into();
}

fn entries(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
