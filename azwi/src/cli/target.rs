//! The workload on the command line: `deployment/shop`.

use std::str::FromStr;

use thiserror::Error;

/// A workload by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The kind in singular and lower case, as kubectl's `deployment`.
    pub(super) kind: String,
    /// The name.
    pub(super) name: String,
}

/// The argument is no workload.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("write it as KIND/NAME, for example deployment/shop")]
pub(super) struct TargetError;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (kind, name) = text.split_once('/').ok_or(TargetError)?;
        if kind.is_empty() || name.is_empty() || name.contains('/') {
            return Err(TargetError);
        }
        // kubectl also takes a kind with its group, such as deployment.apps.
        let kind = kind
            .split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let known = ALIASES
            .iter()
            .find(|(_, aliases)| aliases.contains(&kind.as_str()));
        let kind = known.map_or_else(|| kind.clone(), |(kind, _)| (*kind).to_owned());
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

/// kubectl's short and plural names.
const ALIASES: [(&str, &[&str]); 8] = [
    ("deployment", &["deploy", "deployments"]),
    ("statefulset", &["sts", "statefulsets"]),
    ("daemonset", &["ds", "daemonsets"]),
    ("replicaset", &["rs", "replicasets"]),
    ("cronjob", &["cj", "cronjobs"]),
    ("job", &["jobs"]),
    ("pod", &["po", "pods"]),
    ("replicationcontroller", &["rc", "replicationcontrollers"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kubectls_names() {
        for (text, kind) in [
            ("deploy/shop", "deployment"),
            ("Deployment/shop", "deployment"),
            ("deployments.apps/shop", "deployment"),
            ("rollout/shop", "rollout"),
            ("sts/shop", "statefulset"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.kind.as_str(), target.name.as_str()),
                (kind, "shop"),
                "{text}"
            );
        }
        for text in ["shop", "/shop", "deploy/", "a/b/c"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError), "{text}");
        }
    }
}
