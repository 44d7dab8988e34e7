//! `cluster prepare`: installs what the node needs. Each part is one step, skipped when the part is
//! there.

mod clients;
mod debian;
mod go;
mod kubernetes;
mod log;
mod pause;
mod release;
mod runtime;

use std::path::PathBuf;

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};

use crate::cache::Cache;
use clients::Clients;
use debian::Packages;
use kubernetes::Kubernetes;
use log::Log;
use pause::Pause;
use release::Release;
use runtime::Runtime;

/// The pods' sandbox image, as the archive names it.
pub(crate) const PAUSE_IMAGE: &str = "registry.example.com/cluster/pause:v1";

/// The paths of the prepared programs and images.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The one binary of all Kubernetes components, which it selects by the name that it is called with.
    pub kubernetes: PathBuf,
    /// The folder with `kubectl` and `helm`.
    pub clients: PathBuf,
    /// The folder with `containerd`, its shim and `ctr`, and `runc`.
    pub runtime: PathBuf,
    /// The archive of the sandbox image.
    pub pause: PathBuf,
}

impl Tools {
    /// The paths for a minor version of Kubernetes, whether the files exist or not.
    ///
    /// # Errors
    ///
    /// When there is no cache folder, or no such version.
    pub fn locate(kubernetes: &str) -> Result<Self> {
        let cache = Cache::open()?;
        let release = Release::of(kubernetes)?;
        Ok(Self {
            kubernetes: Kubernetes::new(&cache, release).binary(),
            clients: Clients::new(&cache, &release.clients).folder(),
            runtime: Runtime::new(&cache).folder(),
            pause: Pause::new(&cache).archive(),
        })
    }
}

/// One part of the node: how to detect it, and how to install it.
trait Step {
    /// The progress message while it is installed.
    fn title(&self) -> String;
    fn is_done(&self) -> bool;
    fn install(&self, log: &Log) -> Result<()>;
}

/// Does the missing steps for a minor version of Kubernetes, one process at a time, and prints its progress.
///
/// # Errors
///
/// When there is no such version, or a step fails: with its name and the end of its log.
pub fn prepare(kubernetes: &str) -> Result<Tools> {
    let cache = Cache::open()?;
    let release = Release::of(kubernetes)?;
    let steps: [&dyn Step; 5] = [
        &Packages,
        &Kubernetes::new(&cache, release),
        &Runtime::new(&cache),
        &Clients::new(&cache, &release.clients),
        &Pause::new(&cache),
    ];
    if !steps.iter().all(|step| step.is_done()) {
        let _lock = cache.lock()?;
        for (index, step) in steps.iter().enumerate() {
            if !step.is_done() {
                install(*step, &format!("[{}/{}]", index + 1, steps.len()), &cache)?;
            }
        }
    }
    Tools::locate(kubernetes)
}

fn install(step: &dyn Step, number: &str, cache: &Cache) -> Result<()> {
    let title = step.title();
    let log = Log::create(cache, number)?;
    eprintln!("{number} {title}; log: {}", log.path().display());
    step.install(&log)
        .with_context(|| format!("{number} {title}: failed"))?;
    eprintln!("{number} done after {}", log.elapsed());
    Ok(())
}

/// A short hash of contents, so that a changed source gets a new entry in the cache.
fn fingerprint(contents: &[&str]) -> String {
    let hash = digest(&SHA256, contents.join("\0").as_bytes());
    hash.as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Finds a program in `PATH` and in root's folders of programs.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_contents_have_different_fingerprints() {
        assert_eq!(fingerprint(&["a", "b"]), fingerprint(&["a", "b"]));
        assert_ne!(fingerprint(&["a", "b"]), fingerprint(&["ab", ""]));
        assert_eq!(fingerprint(&["a"]).len(), 16);
    }

    #[test]
    fn finds_a_program_and_no_other() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program").is_none());
    }
}
