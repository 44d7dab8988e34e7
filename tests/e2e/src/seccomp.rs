//! Seccomp profiles on the test node.

use std::fs;

use serde_json::{Value, json};

/// Where the kubelet looks for them.
const FOLDER: &str = "/run/cluster/kubelet/seccomp";

/// Puts a profile on the node, and returns the `seccompProfile` of containers under it.
///
/// # Panics
/// When this is not the node.
pub fn seccomp_profile(name: &str, profile: &Value) -> Value {
    let file = format!("{name}.json");
    fs::create_dir_all(FOLDER).expect("the test runs on the node");
    fs::write(format!("{FOLDER}/{file}"), profile.to_string()).expect("as above");
    json!({ "type": "Localhost", "localhostProfile": file })
}
