//! Compares the patch with a plain implementation, for any JSON that reads as a pod.

#![no_main]

#[path = "../../../webhook/tests/webhook/plain.rs"]
mod plain;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use webhook::inject::{Account, Pod, PodSecurity, Seed, inject};

fuzz_target!(|bytes: &[u8]| {
    let Ok(pod) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    // Serialised again, so that no key occurs twice.
    let text = pod.to_string();
    let Ok(view) = serde_json::from_str::<Pod<'_>>(&text) else {
        return;
    };
    if !pod["spec"].is_object() || !pod["metadata"].is_object() || !plain::covers(&pod) {
        return;
    }
    let account = Account {
        client_id: fuzz::CLIENT_ID.into(),
        ..Account::default()
    };
    for native in [true, false] {
        let config = fuzz::config(native);
        let prepared = config.clone().into();
        let Ok(injection) = inject(
            &view,
            &prepared,
            &account,
            &Seed([7; Seed::LENGTH]),
            PodSecurity::Unknown,
        ) else {
            continue;
        };
        let patch = injection.patch.unwrap_or_else(|| b"[]".to_vec());
        let operations: Vec<Value> = serde_json::from_slice(&patch).unwrap();
        assert!(
            operations.iter().all(|it| it["op"] == "add"),
            "{operations:?}"
        );
        let mut result = pod.clone();
        let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
        json_patch::patch(&mut result, &patch).unwrap();
        let expected = plain::expected(&pod, &config, &account);
        assert_eq!(plain::in_plain_form(result), expected, "{pod}");
    }
});
