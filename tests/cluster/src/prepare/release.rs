//! The versions of Kubernetes that the node can be.

use anyhow::{Context, Result};

/// One version: the sources that it is built from, and the clients that go with it.
#[derive(Debug)]
pub(super) struct Release {
    /// The version, as in `1.37.2`. It is the newest patch of its minor version of which the Go module proxy has
    /// every module.
    pub(super) version: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
    pub(super) clients: Layer,
}

/// A version of the npm package for AWS Lambda that contains `kubectl` and `helm`.
#[derive(Debug)]
pub(super) struct Layer {
    /// The end of the package's name, such as `v36` for kubectl 1.36.
    pub(super) minor: &'static str,
    pub(super) version: &'static str,
}

/// A release of these files in `kubernetes/`.
macro_rules! release {
    ($minor:literal, $version:literal, $clients:expr) => {
        Release {
            version: $version,
            go_mod: include_str!(concat!("../../kubernetes/", $minor, "/go.mod")),
            go_sum: include_str!(concat!("../../kubernetes/", $minor, "/go.sum")),
            clients: $clients,
        }
    };
}

/// Every release, the newest first. No package has kubectl 1.37.
const RELEASES: [Release; 4] = [
    release!("1.37", "1.37.2", clients("v36", "2.0.1")),
    release!("1.35", "1.35.4", clients("v35", "2.2.2")),
    release!("1.34", "1.34.4", clients("v34", "2.2.2")),
    release!("1.31", "1.31.0", clients("v31", "2.1.0")),
];

/// `kubectl` of a minor version, and the `helm` of its time.
const fn clients(minor: &'static str, version: &'static str) -> Layer {
    Layer { minor, version }
}

impl Release {
    /// The release of a minor version such as `1.37`.
    ///
    /// # Errors
    ///
    /// When there is none: with those that there are.
    pub(super) fn of(minor: &str) -> Result<&'static Self> {
        RELEASES
            .iter()
            .find(|release| release.minor() == minor)
            .with_context(|| {
                let known: Vec<_> = RELEASES.iter().map(Self::minor).collect();
                format!(
                    "no node of Kubernetes {minor}: choose one of {}",
                    known.join(", ")
                )
            })
    }

    /// The version without its patch.
    pub(super) fn minor(&self) -> &'static str {
        self.version
            .rsplit_once('.')
            .map_or(self.version, |(minor, _)| minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_is_built_from_its_own_version() {
        for release in &RELEASES {
            let required = format!("k8s.io/kubernetes v{}\n", release.version);
            assert!(release.go_mod.contains(&required), "{}", release.version);
        }
    }

    #[test]
    fn finds_a_release_and_names_all_otherwise() {
        assert_eq!(
            Release::of("1.34").map(|found| found.minor()).ok(),
            Some("1.34")
        );
        let error = Release::of("1.20").err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some("no node of Kubernetes 1.20: choose one of 1.37, 1.35, 1.34, 1.31")
        );
    }
}
