//! What matters before the webhook is installed.

use k8s_openapi::apimachinery::pkg::version::Info;

use super::dry_run::DryRun;

/// What the cluster says about a planned installation.
#[derive(Debug, Default)]
pub struct Preparation {
    /// The API server's version. `None` when it could not be read.
    pub version: Option<Version>,
    /// The rights to install that are missing, such as `create deployments.apps in namespace x`.
    pub missing: Vec<String>,
    /// A new pod of each labelled workload, as the webhook would change it.
    pub pods: Vec<DryRun>,
}

/// The API server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its first two numbers.
    pub number: (u32, u32),
    /// The whole of it.
    pub text: String,
}

impl Version {
    /// The version in this answer of an API server, `None` when its numbers cannot be read.
    pub(crate) fn of(info: &Info) -> Option<Self> {
        // Managed clusters write 34+.
        let number = |text: &str| {
            let digits = text.trim_end_matches(|it: char| !it.is_ascii_digit());
            digits.parse().ok()
        };
        Some(Self {
            number: (number(&info.major)?, number(&info.minor)?),
            text: info.git_version.clone(),
        })
    }
}
