//! Azure's SDKs in pods. `sdk/clients/install` puts each into a folder of its own, with a program
//! `client` that reads a line for each request and answers with a line of JSON.

use serde_json::{Value, json};

use crate::{Container, Pod};

/// A container with a client from the volume `client`, which trusts Azure's CA in Python.
pub fn with_client(name: &str, client: &str, command: &[&str]) -> Container {
    Container::new(name, command)
        .env("HOME", "/tmp")
        .env("REQUESTS_CA_BUNDLE", "/azure-ca.pem")
        .mount(client, "/client")
        .mount("azure-ca", "/azure-ca.pem")
        .own_directory("temporary", "/tmp")
}

/// Adds the volumes of [`with_client`] that do not depend on the client.
#[must_use]
pub fn with_common_volumes(pod: Pod) -> Pod {
    pod.volume(host("azure-ca", &azure_ca(), "File"))
        .volume(json!({ "name": "temporary", "emptyDir": {} }))
}

/// A volume with a client's folder.
pub fn client_volume(name: &str, folder: &str) -> Value {
    let path = format!("{}/clients/{folder}", variable("SDK_DIRECTORY"));
    host(name, &path, "Directory")
}

/// The file with emulated Azure's CA.
pub fn azure_ca() -> String {
    variable("AZURE_CA_FILE")
}

/// The folders of all SDKs: neither the Azure CLI, which has other commands, nor drivers and tools, some of which
/// know only one resource.
///
/// # Panics
///
/// When none is installed.
pub fn folders() -> Vec<String> {
    let path = format!("{}/clients", variable("SDK_DIRECTORY"));
    let entries = std::fs::read_dir(&path).expect("the clients are installed");
    let entries = entries.map(|entry| entry.expect("it can be listed"));
    let clients = entries.filter(|entry| entry.path().join("client").exists());
    let mut folders: Vec<_> = clients
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.retain(|folder| !folder.starts_with("az-") && !folder.starts_with("driver-"));
    folders.sort();
    folders
}

fn host(name: &str, path: &str, kind: &str) -> Value {
    json!({ "name": name, "hostPath": { "path": path, "type": kind } })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by tests/e2e/run"))
}
