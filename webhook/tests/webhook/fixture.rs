//! Runs the webhook's library over pods.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};
use webhook::inject::{self, Account, Config, Denial, Pod, PodSecurity};

pub(crate) use crate::operator::{CLIENT_ID, TENANT_ID, config};

pub(crate) const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// A service account with a client id.
pub(crate) fn account() -> Account {
    Account {
        client_id: CLIENT_ID.into(),
        ..Account::default()
    }
}

/// A pod with the label, these annotations and this `spec`.
pub(crate) fn pod(annotations: Value, spec: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "app",
            "labels": { "azure.workload.identity/use": "true" },
            "annotations": annotations,
        },
        "spec": spec,
    })
}

/// A mutated pod.
pub(crate) struct Mutated {
    pub(crate) pod: Value,
    pub(crate) operations: Vec<Value>,
    pub(crate) warnings: Vec<String>,
    pub(crate) audit: BTreeMap<&'static str, String>,
}

impl Mutated {
    pub(crate) fn container(&self, name: &str) -> &Value {
        let spec = &self.pod["spec"];
        let all = [&spec["initContainers"], &spec["containers"]];
        let mut all = all.into_iter().filter_map(Value::as_array).flatten();
        all.find(|container| container["name"] == name)
            .unwrap_or_else(|| panic!("no container {name} in {}", self.pod))
    }

    pub(crate) fn names(&self, list: &str) -> Vec<&str> {
        let containers = self.pod["spec"][list].as_array();
        let containers = containers.map(Vec::as_slice).unwrap_or_default();
        containers
            .iter()
            .map(|it| it["name"].as_str().unwrap_or_default())
            .collect()
    }
}

/// A container's variable.
pub(crate) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let variables = container["env"].as_array()?;
    variables.iter().find(|it| it["name"] == name)?["value"].as_str()
}

/// A seed that differs from call to call.
pub(crate) fn seed() -> inject::Seed {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    inject::Seed([NEXT.fetch_add(1, Ordering::Relaxed); inject::Seed::LENGTH])
}

/// Mutates a pod, and applies the patch with the `json-patch` crate.
pub(crate) fn mutate(pod: &Value, config: &Config, account: &Account) -> Result<Mutated, Denial> {
    mutate_in(PodSecurity::Unknown, pod, config, account)
}

/// As [`mutate`], in a namespace that enforces this.
pub(crate) fn mutate_in(
    security: PodSecurity,
    pod: &Value,
    config: &Config,
    account: &Account,
) -> Result<Mutated, Denial> {
    let bytes = serde_json::to_vec(pod).unwrap();
    let view: Pod<'_> = serde_json::from_slice(&bytes).unwrap();
    let config = config.clone().into();
    let injection = inject::inject(&view, &config, account, &seed(), security)?;
    let audit = injection.audit.iter();
    let audit = audit
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect();
    let patch = match &injection.patch {
        Some(patch) => serde_json::from_slice(patch).unwrap(),
        None => json!([]),
    };
    let operations = patch.as_array().unwrap().clone();
    let mut result = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(&mut result, &patch).unwrap();
    Ok(Mutated {
        pod: result,
        operations,
        warnings: injection.warnings,
        audit,
    })
}

/// As [`mutate`], for a pod that is admitted. Also checks that a second run adds nothing.
pub(crate) fn mutated(pod: &Value, config: &Config, account: &Account) -> Mutated {
    let first = mutate(pod, config, account).unwrap();
    let second = mutate(&first.pod, config, account).unwrap();
    assert_eq!(
        second.operations,
        [] as [Value; 0],
        "the second run changed something"
    );
    first
}
