//! Kubernetes, built from its sources by the Go module `kubernetes/` of this crate.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::log::Log;
use super::{Step, fingerprint, go};
use crate::cache::Cache;

const VERSION: &str = "1.34.2";

/// The module's files. They are part of this binary, so that it works without the checkout.
const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("../../kubernetes/main.go")),
    ("go.mod", include_str!("../../kubernetes/go.mod")),
    ("go.sum", include_str!("../../kubernetes/go.sum")),
];

/// The one binary of all components.
pub(super) struct Kubernetes {
    cache: Cache,
    folder: PathBuf,
}

impl Kubernetes {
    pub(super) fn new(cache: &Cache) -> Self {
        let flags = link_flags();
        let key = fingerprint(&SOURCES.map(|(_, text)| text)) + &fingerprint(&[&flags]);
        Self {
            cache: cache.clone(),
            folder: cache.entry(&format!("kubernetes-v{VERSION}-{key}")),
        }
    }

    /// The binary.
    pub(super) fn binary(&self) -> PathBuf {
        self.folder.join("kubernetes")
    }
}

impl Step for Kubernetes {
    fn title(&self) -> String {
        format!("building Kubernetes v{VERSION} (once; 7 to 9 minutes on two cores)")
    }

    fn is_done(&self) -> bool {
        self.binary().is_file()
    }

    fn install(&self, log: &Log) -> Result<()> {
        let go = go::program(&self.cache, log)?;
        self.cache.fill(&self.folder, |folder| {
            for (name, text) in SOURCES {
                let path = folder.join(name);
                fs::write(&path, text)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            log.run(
                Command::new(go)
                    .args(["build", "-trimpath", "-buildvcs=false", "-ldflags"])
                    .args([&link_flags(), "-o", "kubernetes", "."])
                    .current_dir(folder)
                    .env("CGO_ENABLED", "0")
                    .env("GOTOOLCHAIN", "local"),
            )
        })
    }
}

/// The linker flags that set the version. Clients read it; without these it is `$Format:%H$`.
fn link_flags() -> String {
    let (major, rest) = VERSION.split_once('.').unwrap_or((VERSION, ""));
    let (minor, _) = rest.split_once('.').unwrap_or((rest, ""));
    let values = [
        ("gitVersion", format!("v{VERSION}")),
        ("gitMajor", major.to_owned()),
        ("gitMinor", minor.to_owned()),
        ("gitTreeState", "archive".to_owned()),
        ("gitCommit", String::new()),
    ];
    let packages = [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ];
    let mut flags = "-s -w".to_owned();
    for package in packages {
        for (name, value) in &values {
            flags += &format!(" -X {package}.{name}={value}");
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_version_as_clients_read_it() {
        let flags = link_flags();
        for value in ["gitVersion=v1.34.2", "gitMajor=1", "gitMinor=34"] {
            assert!(
                flags.contains(&format!("-X k8s.io/component-base/version.{value} ")),
                "{flags}"
            );
        }
    }
}
