//! What matters before the webhook is installed.

use super::dry_run::DryRun;

/// What the cluster says of an installation to come.
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
