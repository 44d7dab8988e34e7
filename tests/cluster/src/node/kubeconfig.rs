//! Kubeconfig files: the API server's address, and a client's certificate.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::{certificates, network};

/// The administrator's kubeconfig.
pub(super) const ADMIN: &str = "/run/cluster/admin.kubeconfig";

/// The path of a user's kubeconfig.
pub(super) fn path(user: &str) -> String {
    format!("/run/cluster/{user}.kubeconfig")
}

/// Writes a user's kubeconfig; the user's certificate has the same name.
pub(super) fn write(user: &str) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {
            "server": format!("https://{}:6443", network::NODE),
            "certificate-authority": certificates::CA,
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": certificates::certificate(user),
            "client-key": certificates::key(user),
        }}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": user}}],
        "current-context": "cluster",
    });
    let path = path(user);
    fs::write(&path, config.to_string()).with_context(|| format!("cannot write {path}"))
}
