//! The images that pods run.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::agents::CONTAINERD;
use super::component::Components;
use super::ready;
use crate::prepare::Tools;

/// The containerd namespace of the kubelet.
pub(super) const NAMESPACE: &str = "k8s.io";

/// Imports the sandbox image and these archives, each under the name in the archive.
pub(super) fn import(components: &Components, tools: &Tools, archives: &[PathBuf]) -> Result<()> {
    ready::wait_for_socket("containerd", CONTAINERD)?;
    for archive in std::iter::once(&tools.pause).chain(archives) {
        let mut import = components.command("ctr");
        import.args([
            "--address",
            CONTAINERD,
            "--namespace",
            NAMESPACE,
            "images",
            "import",
        ]);
        components
            .run(import.arg(archive))
            .with_context(|| format!("cannot import {}", archive.display()))?;
    }
    Ok(())
}
