//! The pods' sandbox image: one static program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::log::Log;
use super::{PAUSE_IMAGE, Step, fingerprint};
use crate::cache::Cache;

const SOURCE: &str = include_str!("../../pause/pause.c");
const DOCKERFILE: &str = "FROM scratch\nCOPY pause /pause\nENTRYPOINT [\"/pause\"]\n";

/// The image's archive.
pub(super) struct Pause {
    cache: Cache,
    folder: PathBuf,
}

impl Pause {
    pub(super) fn new(cache: &Cache) -> Self {
        let key = fingerprint(&[SOURCE, DOCKERFILE, PAUSE_IMAGE]);
        Self {
            cache: cache.clone(),
            folder: cache.entry(&format!("pause-{key}")),
        }
    }

    /// An OCI archive that names its image [`PAUSE_IMAGE`].
    pub(super) fn archive(&self) -> PathBuf {
        self.folder.join("pause.tar")
    }
}

impl Step for Pause {
    fn title(&self) -> String {
        "building the sandbox image".to_owned()
    }

    fn is_done(&self) -> bool {
        self.archive().is_file()
    }

    fn install(&self, log: &Log) -> Result<()> {
        self.cache.fill(&self.folder, |folder| {
            fs::write(folder.join("pause.c"), SOURCE)?;
            fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
            log.run(
                Command::new("cc")
                    .args(["-static", "-Os", "-s", "-o", "pause", "pause.c"])
                    .current_dir(folder),
            )?;
            log.run(buildah(folder).args([
                "build",
                "--isolation",
                "chroot",
                "--tag",
                PAUSE_IMAGE,
                ".",
            ]))?;
            log.run(buildah(folder).args([
                "push",
                PAUSE_IMAGE,
                &format!("oci-archive:pause.tar:{PAUSE_IMAGE}"),
            ]))?;
            Ok(fs::remove_dir_all(folder.join("storage"))?)
        })
    }
}

/// buildah with its own storage, so that the machine's stays unchanged.
fn buildah(folder: &Path) -> Command {
    let mut buildah = Command::new("buildah");
    buildah
        .args([
            "--storage-driver",
            "vfs",
            "--root",
            "storage/root",
            "--runroot",
            "storage/run",
        ])
        .current_dir(folder);
    buildah
}
