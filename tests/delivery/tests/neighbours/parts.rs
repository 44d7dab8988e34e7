//! The parts that the webhook adds to a pod.

use contract::{container, token, variable};
use serde_json::Value;

const VARIABLES: [&str; 4] = [
    variable::CLIENT_ID,
    variable::TENANT_ID,
    variable::FEDERATED_TOKEN_FILE,
    variable::AUTHORITY_HOST,
];

/// Asserts that a pod has these of the injected containers, once each, token volumes whose names begin so, and each
/// variable once in every container.
pub fn assert_has_one_of_each(pod: &Value, injected: &[&str], token_volumes: &[&str]) {
    let spec = &pod["spec"];
    let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let containers = [list("initContainers"), list("containers")].concat();
    for name in [container::PROXY_INIT, container::PROXY] {
        let named = containers.iter().filter(|it| it["name"] == name).count();
        let expected = usize::from(injected.contains(&name));
        assert_eq!(named, expected, "{name}: {spec:#}");
    }
    let mut volumes = list("volumes");
    volumes.retain(|it| it.to_string().contains(token::DEFAULT_AUDIENCE));
    assert_eq!(volumes.len(), token_volumes.len(), "{spec:#}");
    for (volume, expected) in volumes.iter().zip(token_volumes) {
        let name = volume["name"].as_str().expect("a name");
        assert!(name.starts_with(expected), "{spec:#}");
    }
    for container in containers
        .iter()
        .filter(|it| it["name"] != container::PROXY_INIT)
    {
        for name in VARIABLES {
            let variables = container["env"].as_array().into_iter().flatten();
            assert_eq!(
                variables.filter(|it| it["name"] == name).count(),
                1,
                "{name}: {container:#}"
            );
        }
    }
}
