//! Which requests the proxy relays to the real IMDS.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::path::{canonical, names_other_identity};

/// Which paths the proxy relays to the real IMDS. Paths of the node's identity are never relayed,
/// whatever the policy, and those of its identity in another cloud only if a list names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayPolicy {
    /// All paths.
    Allow,
    /// No path.
    Deny,
    /// The paths under one of these, in canonical spelling.
    Only(Vec<String>),
}

/// The text is not a relay policy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a relay policy: use allow, deny, or paths that begin with /, separated by commas, such \
     as /metadata/instance,/metadata/scheduledevents"
)]
pub struct RelayPolicyError(String);

impl RelayPolicy {
    /// Whether the policy lets a path through. The caller refuses paths of the node's identity first.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        let Some(path) = canonical(path) else {
            return false;
        };
        let is_identity = names_other_identity(&path);
        match self {
            Self::Allow => !is_identity,
            Self::Deny => false,
            Self::Only(allowed) => allowed.iter().any(|allowed| {
                let rest = path.strip_prefix(allowed.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    && (!is_identity || names_other_identity(allowed))
            }),
        }
    }
}

impl FromStr for RelayPolicy {
    type Err = RelayPolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            paths => paths
                .split(',')
                .map(|path| canonical(path.trim()))
                .collect::<Option<_>>()
                .map(Self::Only)
                .ok_or_else(|| RelayPolicyError(text.to_owned())),
        }
    }
}

impl fmt::Display for RelayPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => formatter.write_str("allow"),
            Self::Deny => formatter.write_str("deny"),
            Self::Only(paths) => {
                // A comma in a path would separate two.
                let paths: Vec<_> = paths.iter().map(|path| path.replace(',', "%2c")).collect();
                formatter.write_str(&paths.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_the_paths_under_it() {
        let policy: RelayPolicy = "/metadata/instance, /metadata/scheduledevents/"
            .parse()
            .unwrap();
        for path in [
            "/metadata/instance",
            "/metadata/instance/compute",
            "/Metadata/instance?",
            "/metadata/%69nstance/x",
            "/metadata/scheduledevents",
        ] {
            assert!(policy.allows(path), "{path}");
        }
        for path in [
            "/",
            "/metadata",
            "/metadata/instances",
            "/metadata/attested/document",
        ] {
            assert!(!policy.allows(path), "{path}");
        }
    }

    #[test]
    fn another_clouds_identity_is_relayed_only_by_a_list_that_names_it() {
        let path = "/latest/meta-data/iam/security-credentials/role";
        for policy in ["allow", "deny", "/latest", "/", "/latest/meta-data"] {
            let policy: RelayPolicy = policy.parse().unwrap();
            assert!(!policy.allows(path), "{policy}");
        }
        let policy: RelayPolicy = "/latest/api/token,/latest/meta-data/iam".parse().unwrap();
        assert!(policy.allows(path) && policy.allows("/latest/api/token"));
        assert!(!policy.allows("/computeMetadata/v1/instance/service-accounts/default/token"));
        assert!(RelayPolicy::Allow.allows("/latest/meta-data/instance-id"));
    }

    #[test]
    fn reads_words_and_paths() {
        assert_eq!("allow".parse(), Ok(RelayPolicy::Allow));
        assert_eq!(" deny\n".parse(), Ok(RelayPolicy::Deny));
        for text in ["", "Allow", "metadata/instance", "/a,,/b", "/a,b", "/a/%zz"] {
            assert!(text.parse::<RelayPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_a_comma_in_a_path_escaped() {
        let policy: RelayPolicy = "/a%2cb, /c".parse().unwrap();
        assert_eq!(
            policy,
            RelayPolicy::Only(vec!["/a,b".to_owned(), "/c".to_owned()])
        );
        assert_eq!(policy.to_string(), "/a%2cb,/c");
    }
}
