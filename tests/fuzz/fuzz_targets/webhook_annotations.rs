//! Annotations of a pod and its service account, one per line as `KEY=VALUE` without the product's
//! prefix. Sentences for the user contain no control characters, and a second run adds nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use webhook::inject::{Account, Pod, PodSecurity, Prepared, Seed, inject};

fuzz_target!(|text: &str| {
    let mut annotations = Map::new();
    let mut account = Account::default();
    for line in text.split('\n') {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match key {
            "client-id" => account.client_id = value.trim().into(),
            "tenant-id" => account.tenant_id = value.trim().into(),
            "account-token-expiration" => account.token_expiration = Some(value.into()),
            key => {
                annotations.insert(format!("azure.workload.identity/{key}"), value.into());
            }
        }
    }
    let mut pod = json!({
        "metadata": {
            "labels": { "azure.workload.identity/use": "true" },
            "annotations": annotations,
        },
        "spec": {
            "initContainers": [{ "name": "first" }],
            "containers": [{ "name": "app", "ports": [{ "containerPort": 8080 }] }],
        },
    });
    let config = fuzz::config(text.len().is_multiple_of(2)).into();
    if let Some(patch) = run(&pod, &config, &account) {
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
        assert_eq!(run(&pod, &config, &account), None, "{pod}");
    }
});

fn run(pod: &Value, config: &Prepared, account: &Account) -> Option<Vec<u8>> {
    let bytes = pod.to_string();
    let view: Pod<'_> = serde_json::from_str(&bytes).unwrap();
    let clean = |text: &str| {
        assert!(
            !text.is_empty() && !text.contains(char::is_control),
            "{text:?}"
        );
    };
    match inject(
        &view,
        config,
        account,
        &Seed([7; Seed::LENGTH]),
        PodSecurity::Unknown,
    ) {
        Ok(injection) => {
            injection.warnings.iter().for_each(|text| clean(text));
            injection.patch
        }
        Err(denial) => {
            clean(&denial.to_string());
            None
        }
    }
}
