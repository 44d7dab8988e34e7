//! Which system calls `azwi-proxy` may make.

use std::str::FromStr;

use serde::Serialize;

/// A seccomp profile, as a container's `securityContext` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum SeccompProfile {
    /// A file on each node.
    Localhost {
        /// Its path below the kubelet's folder of profiles.
        localhost_profile: String,
    },
    /// The container runtime's own.
    RuntimeDefault,
}

impl FromStr for SeccompProfile {
    type Err = &'static str;

    /// Takes the words of Kubernetes' former annotations, `runtime/default` and `localhost/…`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = match text.split_once('/') {
            Some(("runtime", "default")) => return Ok(Self::RuntimeDefault),
            Some(("localhost", path)) if !path.is_empty() => path,
            _ => return Err("it must be runtime/default, or localhost/ and the path of a file"),
        };
        // As the API server has it.
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err("the path must stay below the kubelet's folder of seccomp profiles");
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
    fn it_is_the_runtimes_or_a_file_below_the_kubelets_folder() {
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
