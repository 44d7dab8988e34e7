//! Properties of every patch: it only adds, loses nothing and adds nothing twice. The only containers that
//! it moves are the webhook's own init containers.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use webhook::inject::Mode;

use crate::fixture::{account, config, mutate};
use crate::plain;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn matches_a_plain_implementation(
        pod in pods(),
        native in any::<bool>(),
        net_raw in any::<bool>(),
    ) {
        let mut config = config(native);
        config.sidecar.init_net_raw = net_raw;
        let Ok(result) = mutate(&pod, &config, &account()) else { return Ok(()) };
        prop_assert!(plain::covers(&pod));
        let expected = plain::expected(&pod, &config, &account());
        prop_assert_eq!(plain::in_plain_form(result.pod), expected);
    }

    #[test]
    fn completes_a_pod_and_leaves_the_rest_untouched(
        pod in pods(),
        native in any::<bool>(),
        mode in prop_oneof![Just(Mode::Redirect), Just(Mode::Environment)],
    ) {
        let mut config = config(native);
        config.sidecar.mode = mode;
        // A random pod may clash with the proxy's port or uid. Other tests cover denials.
        let Ok(first) = mutate(&pod, &config, &account()) else { return Ok(()) };

        for operation in &first.operations {
            prop_assert_eq!(&operation["op"], "add");
        }
        prop_assert_eq!(&without_additions(&first.pod, &pod), &pod);
        complete(&first.pod, &pod, mode)?;
        let second = mutate(&first.pod, &config, &account()).unwrap();
        prop_assert_eq!(&second.operations, &[] as &[Value]);

        // Another webhook appends a container, and the pod gets its name.
        let mut changed = first.pod;
        changed["metadata"]["name"] = "named".into();
        let containers = changed["spec"]["containers"].as_array_mut();
        if let Some(containers) = containers {
            containers.push(json!({ "name": "late" }));
            let third = mutate(&changed, &config, &account()).unwrap();
            prop_assert_eq!(&without_additions(&third.pod, &changed), &changed);
            complete(&third.pod, &changed, mode)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Tools that restore pods, and other webhooks, put init containers before, between and behind the
    /// injected ones.
    #[test]
    fn its_init_containers_are_first_however_the_pod_came(
        pod in pods(),
        native in any::<bool>(),
        was_native in any::<bool>(),
        order in prop::collection::vec(any::<u32>(), 100),
        dropped in prop::option::of(prop::sample::select(&["azwi-proxy-init", "azwi-proxy"][..])),
        image in prop::option::of(prop::sample::select(IMAGES)),
    ) {
        let mut pod = pod;
        let key = "azure.workload.identity/inject-proxy-sidecar";
        pod["metadata"]["annotations"] = json!({ key: "true" });
        // The names of the injected containers are the webhook's here.
        for list in ["initContainers", "containers"] {
            if let Some(items) = pod["spec"][list].as_array_mut() {
                items.retain(|it| !is_ours(&it["name"]));
            }
        }
        let Ok(injected) = mutate(&pod, &config(was_native), &account()) else { return Ok(()) };
        let mut restored = injected.pod;
        let init = restored["spec"]["initContainers"].as_array_mut().unwrap();
        init.retain(|it| dropped.is_none_or(|name| it["name"] != name));
        let mut by_chance: Vec<_> = order.into_iter().zip(init.drain(..)).collect();
        by_chance.sort_by_key(|(place, _)| *place);
        init.extend(by_chance.into_iter().map(|(_, container)| container));
        for container in init.iter_mut().filter(|it| is_ours(&it["name"])) {
            if let Some(image) = image {
                container["image"] = image.into();
            }
        }

        let result = mutate(&restored, &config(native), &account()).unwrap();
        let is_alone = |operation: &Value| ["add", "move"].map(Value::from).contains(&operation["op"]);
        prop_assert!(result.operations.iter().all(is_alone), "{:?}", result.operations);
        let (own, others) = parted(&result.pod);
        let names: Vec<_> = own.iter().map(|it| it["name"].as_str().unwrap()).collect();
        let in_front = if result.pod["spec"]["initContainers"][1]["name"] == "azwi-proxy" {
            &["azwi-proxy-init", "azwi-proxy"][..]
        } else {
            &["azwi-proxy-init"]
        };
        prop_assert_eq!(&names, in_front, "{}", result.pod["spec"]["initContainers"]);
        let first = &array(&result.pod["spec"]["initContainers"])[..names.len()];
        prop_assert_eq!(first, &own);
        // The others keep their order and all their fields, and the own ones their fields.
        let (own_before, others_before) = parted(&restored);
        prop_assert_eq!(&others, &others_before);
        for container in &own_before {
            prop_assert!(own.contains(container), "{} in {:?}", container, own);
        }
        complete(&result.pod, &restored, Mode::Redirect)?;
        let second = mutate(&result.pod, &config(native), &account()).unwrap();
        prop_assert_eq!(&second.operations, &[] as &[Value]);
    }
}

/// The images of another version and of a mirror.
const IMAGES: &[&str] = &[
    "registry.example.com/proxy:v0",
    "registry.example.com/proxy@sha256:0",
    "mirror.example.com/registry.example.com/proxy:v1",
];

/// The injected init containers, and the others.
fn parted(pod: &Value) -> (Vec<Value>, Vec<Value>) {
    let init = array(&pod["spec"]["initContainers"]).iter().cloned();
    init.partition(|it| is_ours(&it["name"]))
}

/// Removes everything that the webhook may add. The rest must equal the original pod.
fn without_additions(result: &Value, original: &Value) -> Value {
    let mut pod = result.clone();
    let spec = pod["spec"].as_object_mut().unwrap();
    let before = &original["spec"];
    for list in ["initContainers", "containers"] {
        let known: Vec<_> = array(&before[list])
            .iter()
            .map(|it| it["name"].clone())
            .collect();
        if let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) {
            let is_new = |it: &Value| is_ours(&it["name"]) && !known.contains(&it["name"]);
            containers.retain(|it| !is_new(it));
            for (container, before) in containers.iter_mut().zip(array(&before[list])) {
                let container = container.as_object_mut().unwrap();
                if let (Some(Value::Array(now)), Some(before)) =
                    (container.get_mut("env"), before["env"].as_array())
                {
                    // Injected variables come first.
                    now.drain(..now.len() - before.len());
                }
                for list in ["env", "volumeMounts"] {
                    shorten(container, list, before);
                }
            }
        }
        if array(&before[list]).is_empty() && spec.get(list).is_some_and(|it| array(it).is_empty())
        {
            restore(spec, list, before);
        }
    }
    shorten(spec, "volumes", before);

    let metadata = pod["metadata"].as_object_mut().unwrap();
    if original["metadata"]["annotations"].is_object() {
        let annotations = metadata["annotations"].as_object_mut().unwrap();
        for key in [INJECTED, DEFAULT_CONTAINER] {
            if original["metadata"]["annotations"].get(key).is_none() {
                annotations.remove(key);
            }
        }
    } else {
        restore(metadata, "annotations", &original["metadata"]);
    }
    pod
}

/// Removes appended items from a list.
fn shorten(object: &mut Map<String, Value>, list: &str, before: &Value) {
    match before.get(list) {
        Some(Value::Array(items)) => {
            let length = items.len();
            object[list].as_array_mut().unwrap().truncate(length);
        }
        _ => restore(object, list, before),
    }
}

fn restore(object: &mut Map<String, Value>, key: &str, before: &Value) {
    match before.get(key) {
        Some(value) => object[key] = value.clone(),
        None => {
            object.remove(key);
        }
    }
}

/// Checks that every addition is present exactly once.
fn complete(result: &Value, original: &Value, mode: Mode) -> Result<(), TestCaseError> {
    let annotations = &original["metadata"]["annotations"];
    let skipped = annotations["azure.workload.identity/skip-containers"].as_str();
    let skipped: BTreeSet<_> = skipped.unwrap_or_default().split(';').collect();
    let spec = &result["spec"];
    let names: Vec<_> = array(&spec["volumes"])
        .iter()
        .map(|it| &it["name"])
        .collect();
    let distinct: BTreeSet<_> = names.iter().map(|it| it.to_string()).collect();
    prop_assert_eq!(names.len(), distinct.len(), "a volume name occurs twice");

    let had_token = array(&original["spec"]["volumes"]).iter().any(|volume| {
        let mut sources = array(&volume["projected"]["sources"]).iter();
        sources.any(|it| it["serviceAccountToken"]["audience"] == "api://AzureADTokenExchange")
    });
    if had_token {
        prop_assert_eq!(names.len(), array(&original["spec"]["volumes"]).len());
    }

    for list in ["initContainers", "containers"] {
        for container in array(&spec[list]) {
            let name = container["name"].as_str().unwrap_or_default();
            if name == "azwi-proxy-init" || (skipped.contains(name) && name != "azwi-proxy") {
                continue;
            }
            for variable in VARIABLES {
                let count = array(&container["env"])
                    .iter()
                    .filter(|it| it["name"] == *variable);
                prop_assert_eq!(count.count(), 1, "{} in {}", variable, container);
            }
            let mounts = array(&container["volumeMounts"]);
            let paths: BTreeSet<_> = mounts.iter().map(|it| it["mountPath"].as_str()).collect();
            prop_assert_eq!(paths.len(), mounts.len(), "a path is mounted twice");
            let variables = array(&container["env"]).iter();
            let mut files = variables.filter(|it| it["name"] == "AZURE_FEDERATED_TOKEN_FILE");
            let file = &files.next().unwrap()["value"];
            // A variable of the user's has another value in these pods.
            if file.as_str().is_some_and(|it| it.starts_with('/')) {
                prop_assert!(
                    shows_token(container, spec, file),
                    "{} in {}",
                    file,
                    container
                );
            }
        }
    }

    if annotations["azure.workload.identity/inject-proxy-sidecar"] == "true" {
        let init: Vec<_> = array(&spec["initContainers"])
            .iter()
            .map(|it| &it["name"])
            .collect();
        if mode == Mode::Redirect {
            prop_assert_eq!(init[0], "azwi-proxy-init");
        }
        let everywhere = array(&spec["initContainers"])
            .iter()
            .chain(array(&spec["containers"]));
        let proxies = everywhere.filter(|it| it["name"] == "azwi-proxy");
        prop_assert_eq!(proxies.count(), 1);
    }
    Ok(())
}

/// Whether a volume with the token is mounted where the file is, without another mount over it.
fn shows_token(container: &Value, spec: &Value, file: &Value) -> bool {
    let file = file.as_str().unwrap_or_default();
    let mounts = array(&container["volumeMounts"]).iter();
    let around = mounts.filter(|it| {
        let directory = it["mountPath"].as_str().unwrap_or_default();
        file == directory || file.starts_with(&format!("{directory}/"))
    });
    let visible = around.max_by_key(|it| it["mountPath"].as_str().map(str::len));
    let Some(visible) = visible else { return false };
    let mut volumes = array(&spec["volumes"]).iter();
    let volume = volumes.find(|it| it["name"] == visible["name"]).unwrap();
    let mut sources = array(&volume["projected"]["sources"]).iter();
    sources.any(|source| {
        let token = &source["serviceAccountToken"];
        let path = token["path"].as_str().unwrap_or_default();
        token["audience"] == "api://AzureADTokenExchange" && file.ends_with(&format!("/{path}"))
    })
}

const VARIABLES: &[&str] = &[
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
];
const INJECTED: &str = "azure.workload.identity/injected";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

fn is_ours(name: &Value) -> bool {
    name == "azwi-proxy-init" || name == "azwi-proxy"
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Any JSON, for fields that are unknown to the webhook.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A list that is absent, null, empty or filled.
fn list(items: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    let items = items.boxed();
    let filled = prop_oneof![
        20 => prop::collection::vec(items.clone(), 0..4),
        1 => prop::collection::vec(items, 40..80),
    ];
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Value::Null)),
        2 => filled.prop_map(|items| Some(Value::from(items))),
    ]
    .boxed()
}

fn object(parts: Vec<(&'static str, Option<Value>)>, unknown: Map<String, Value>) -> Value {
    let mut object: Map<String, Value> = unknown
        .into_iter()
        .map(|(key, value)| (format!("x~/{key}"), value))
        .collect();
    let parts = parts
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    object.extend(parts);
    Value::Object(object)
}

fn unknown() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::hash_map(".{0,8}", anything(), 0..3).prop_map(|map| map.into_iter().collect())
}

/// Keeps the first item of each key, since the API requires distinct ones.
fn distinct(value: Option<Value>, key: &'static str) -> Option<Value> {
    let Some(Value::Array(mut items)) = value else {
        return value;
    };
    let mut seen = BTreeSet::new();
    items.retain(|item| seen.insert(item[key].to_string()));
    Some(Value::Array(items))
}

fn containers() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        4 => "[a-z]{1,2}".prop_map(|name| Some(Value::from(name))),
        1 => Just(Some(Value::from("azwi-proxy-init"))),
        1 => Just(Some(Value::from("azwi-proxy"))),
        1 => Just(None),
        1 => "\\PC{1,4}".prop_map(|name| Some(Value::from(name))),
    ];
    let variable_names = prop_oneof![
        prop::sample::select(VARIABLES).prop_map(ToOwned::to_owned),
        "[A-Z~/]{1,3}",
    ];
    let variables = (variable_names, "[x]{0,2}", unknown()).prop_map(|(name, value, unknown)| {
        object(
            vec![("name", Some(name.into())), ("value", Some(value.into()))],
            unknown,
        )
    });
    let paths = prop_oneof![
        Just("/var/run/secrets/azure/tokens"),
        Just("/var/run/secrets/azure/tokens/azure-identity-token"),
        Just("/var/run/secrets/azure/wi/token"),
        Just("/var/run/secrets/azure"),
        Just("/data"),
    ];
    let read_only = prop::option::of(any::<bool>().prop_map(Value::from));
    let mounts = (volume_names(), paths, read_only, unknown());
    let mounts = mounts.prop_map(|(name, path, read_only, unknown)| {
        object(
            vec![
                ("name", Some(name.into())),
                ("mountPath", Some(path.into())),
                ("readOnly", read_only),
            ],
            unknown,
        )
    });
    let restart = prop::option::of(Just(Value::from("Always")));
    (names, list(variables), list(mounts), restart, unknown()).prop_map(
        |(name, env, mounts, restart, unknown)| {
            object(
                vec![
                    ("name", name),
                    ("env", distinct(env, "name")),
                    ("volumeMounts", distinct(mounts, "mountPath")),
                    ("restartPolicy", restart),
                ],
                unknown,
            )
        },
    )
}

fn volume_names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("azure-identity-token".to_owned()),
        Just("azure-workload-identity-reserved-0123".to_owned()),
        "[a-c]",
    ]
}

fn volumes() -> impl Strategy<Value = Value> {
    let audiences = prop_oneof![Just("api://AzureADTokenExchange"), Just("other")];
    let token = (audiences, "[a-z]{1,3}").prop_map(|(audience, path)| {
        json!({ "sources": [
            { "downwardAPI": {} },
            { "serviceAccountToken": { "audience": audience, "path": path } },
        ] })
    });
    (volume_names(), prop::option::of(token), unknown()).prop_map(|(name, projected, unknown)| {
        object(
            vec![("name", Some(name.into())), ("projected", projected)],
            unknown,
        )
    })
}

prop_compose! {
    fn pods()(
        unknown_of_pod in unknown(),
        unknown_of_spec in unknown(),
        unknown_of_metadata in unknown(),
        init in list(containers()),
        containers in list(containers()),
        ephemeral in list(containers()),
        volumes in list(volumes()),
        injects in any::<bool>(),
        has_annotations in any::<bool>(),
        skipped in "[a-c]?",
    ) -> Value {
        let annotations = if injects {
            Some(json!({
                "azure.workload.identity/inject-proxy-sidecar": "true",
                "azure.workload.identity/skip-containers": skipped,
                "other~/key": "value",
            }))
        } else {
            has_annotations.then_some(Value::Null)
        };
        let metadata = object(
            vec![
                ("generateName", Some("app-".into())),
                ("labels", Some(json!({ "azure.workload.identity/use": "true" }))),
                ("annotations", annotations),
            ],
            unknown_of_metadata,
        );
        // A redirect without image and command may be another container, and stays where it is. Such
        // pods are left out here.
        let init = init.map(|mut init| {
            if let Value::Array(items) = &mut init {
                items.retain(|it| it["name"] != "azwi-proxy-init");
            }
            init
        });
        let without_proxy = |list: Option<Value>| list.map(|mut list| {
            if let Value::Array(items) = &mut list {
                items.retain(|it| !is_ours(&it["name"]));
            }
            list
        });
        let spec = object(
            vec![
                ("initContainers", distinct(init, "name")),
                ("containers", distinct(without_proxy(containers), "name")),
                ("ephemeralContainers", ephemeral),
                ("volumes", distinct(volumes, "name")),
            ],
            unknown_of_spec,
        );
        object(vec![("metadata", Some(metadata)), ("spec", Some(spec))], unknown_of_pod)
    }
}
