//! The cache folder: it keeps what takes long to build or to fetch, for every checkout.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The project's part of the user's cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// `$XDG_CACHE_HOME`, or `.cache` in the home folder; made when absent.
    pub(crate) fn open() -> Result<Self> {
        let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
            Some(path) if path.is_absolute() => path,
            _ => env::home_dir()
                .context("HOME is not set: set it, or XDG_CACHE_HOME")?
                .join(".cache"),
        };
        let folder = base.join("azure-workload-identity");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// The path of an entry, whether it exists or not.
    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes an entry atomically: `fill` works in a temporary folder that is renamed at the end.
    pub(crate) fn fill(&self, entry: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let partial = entry.with_added_extension("partial");
        remove(&partial)?;
        remove(entry)?;
        fs::create_dir_all(&partial)
            .with_context(|| format!("cannot make {}", partial.display()))?;
        fill(&partial)?;
        fs::rename(&partial, entry).with_context(|| format!("cannot make {}", entry.display()))
    }

    /// Locks the cache against other processes, as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
