//! The images that pods run.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::agents::CONTAINERD;
use super::component::Components;
use super::ready;
use crate::prepare::Tools;

/// containerd's name for what the kubelet sees.
pub(super) const NAMESPACE: &str = "k8s.io";

/// Imports the sandbox image and these, each under the name that its archive gives it.
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
