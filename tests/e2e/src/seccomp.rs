//! Seccomp profiles on the test node.

use std::fs;

use serde_json::{Value, json};

/// The kubelet's folder of seccomp profiles.
const FOLDER: &str = "/run/cluster/kubelet/seccomp";

/// Writes a profile to the node, and returns the `seccompProfile` for containers that use it.
///
/// # Panics
///
/// When the test does not run on the test node.
pub fn seccomp_profile(name: &str, profile: &Value) -> Value {
    let file = format!("{name}.json");
    fs::create_dir_all(FOLDER).expect("the test runs on the node");
    fs::write(format!("{FOLDER}/{file}"), profile.to_string()).expect("the test runs on the node");
    json!({ "type": "Localhost", "localhostProfile": file })
}
