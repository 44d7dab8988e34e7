//! The seccomp profile of `azwi-proxy`.

use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// A seccomp profile, as a container's `securityContext` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum SeccompProfile {
    /// A profile in a file on each node.
    Localhost {
        /// Path below the kubelet's `seccomp` folder.
        localhost_profile: String,
    },
    /// The container runtime's default profile.
    RuntimeDefault,
}

/// The text is not a seccomp profile that a container may have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SeccompProfileError {
    /// Neither of the two forms.
    #[error("it must be runtime/default, or localhost/ and the path of a file")]
    Form,
    /// A path that leaves the kubelet's folder.
    #[error("the path must stay below the kubelet's folder of seccomp profiles")]
    Path,
}

impl FromStr for SeccompProfile {
    type Err = SeccompProfileError;

    /// Takes the values of Kubernetes' old seccomp annotations, `runtime/default` and `localhost/…`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = match text.split_once('/') {
            Some(("runtime", "default")) => return Ok(Self::RuntimeDefault),
            Some(("localhost", path)) if !path.is_empty() => path,
            _ => return Err(SeccompProfileError::Form),
        };
        // The API server has the same rule.
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(SeccompProfileError::Path);
        }
        Ok(Self::Localhost {
            localhost_profile: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_runtimes_profile_and_files_below_the_kubelets_folder() {
        let json = |text: &str| {
            let profile: Result<SeccompProfile, _> = text.parse();
            profile.map(|profile| serde_json::to_string(&profile).unwrap())
        };
        assert_eq!(
            json("runtime/default").unwrap(),
            r#"{"type":"RuntimeDefault"}"#
        );
        assert_eq!(
            json("localhost/profiles/proxy.json").unwrap(),
            r#"{"type":"Localhost","localhostProfile":"profiles/proxy.json"}"#
        );
        for refused in [
            "",
            "unconfined",
            "runtime/other",
            "localhost/",
            "localhost//etc/x",
            "localhost/a/../../b",
        ] {
            assert!(json(refused).is_err(), "{refused}");
        }
    }
}
