//! Kubernetes, built from its sources by the Go module `kubernetes/` of this crate.

use std::path::PathBuf;

use anyhow::Result;

use super::log::Log;
use super::release::Release;
use super::{Step, fingerprint, go};
use crate::cache::Cache;

/// The program of every release. It is part of this binary, so that it works without the checkout.
const PROGRAM: &str = include_str!("../../kubernetes/main.go");

/// The one binary of all components.
pub(super) struct Kubernetes {
    cache: Cache,
    folder: PathBuf,
    release: &'static Release,
}

impl Kubernetes {
    pub(super) fn new(cache: &Cache, release: &'static Release) -> Self {
        let Release {
            version,
            go_mod,
            go_sum,
            ..
        } = release;
        let key = fingerprint(&[PROGRAM, go_mod, go_sum, &link_flags(version)]);
        Self {
            cache: cache.clone(),
            folder: cache.entry(&format!("kubernetes-v{version}-{key}")),
            release,
        }
    }

    /// The binary.
    pub(super) fn binary(&self) -> PathBuf {
        self.folder.join("kubernetes")
    }
}

impl Step for Kubernetes {
    fn title(&self) -> String {
        let version = self.release.version;
        format!("building Kubernetes v{version} (once; 7 to 9 minutes on two cores)")
    }

    fn is_done(&self) -> bool {
        self.binary().is_file()
    }

    fn install(&self, log: &Log) -> Result<()> {
        let go = go::program(&self.cache, log)?;
        self.cache.fill(&self.folder, |folder| {
            let sources = [
                ("main.go", PROGRAM),
                ("go.mod", self.release.go_mod),
                ("go.sum", self.release.go_sum),
            ];
            let flags = link_flags(self.release.version);
            let mut build = go::build(&go, folder, &sources)?;
            log.run(
                build
                    .args(["-ldflags", &flags, "-o", "kubernetes", "."])
                    .env("CGO_ENABLED", "0"),
            )
        })
    }
}

/// The linker flags that set the version. Clients read it; without these it is `$Format:%H$`.
fn link_flags(version: &str) -> String {
    let (major, rest) = version.split_once('.').unwrap_or((version, ""));
    let (minor, _) = rest.split_once('.').unwrap_or((rest, ""));
    let values = [
        ("gitVersion", format!("v{version}")),
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
        let flags = link_flags("1.34.2");
        for value in ["gitVersion=v1.34.2", "gitMajor=1", "gitMinor=34"] {
            assert!(
                flags.contains(&format!("-X k8s.io/component-base/version.{value} ")),
                "{flags}"
            );
        }
    }
}
