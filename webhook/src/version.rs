//! Features that depend on the API server's version: native sidecars (KEP-753), lists as streams
//! (KEP-3157).

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use service_kit::settings::ConfigurationError;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::reason::reason;

/// Whether the proxy is injected as a native sidecar: `--native-sidecar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeSidecar {
    /// It depends on the API server's version.
    Auto,
    /// Never.
    Off,
    /// Always.
    On,
}

impl NativeSidecar {
    /// The decision for this API server. If its version cannot be read, logs a warning and decides
    /// against native sidecars.
    ///
    /// # Errors
    ///
    /// [`Self::On`] with an API server before 1.28. It drops `restartPolicy` of init containers: the kubelet
    /// would wait for the end of the proxy, which never ends, before it starts the application. An API server
    /// 1.28 keeps the field only with the feature gate SidecarContainers, which is off by default and which
    /// its version does not show, so it gets a warning.
    pub fn decide_or_warn(self, version: &Info) -> Result<bool, ConfigurationError> {
        if self == Self::On {
            if is_at_least(version, FIRST_WITH_FIELD) == Some(false) {
                return Err(ConfigurationError::new(format!(
                    "--native-sidecar=on: the API server is {}, and drops restartPolicy of init containers \
                     before 1.28, so that no pod with the sidecar would start. Set auto or off",
                    version.git_version
                )));
            }
            if is_at_least(version, FIRST_WITH_FIELD + 1) == Some(false) {
                warn!(
                    "--native-sidecar=on: API server and kubelets 1.28 need the feature gate \
                     SidecarContainers, otherwise no pod with the sidecar starts"
                );
            }
        }
        Ok(self.decide(version).unwrap_or_else(|| {
            warn!(
                "the API server's version cannot be read, so the proxy is not injected as a native \
                 sidecar: set --native-sidecar"
            );
            false
        }))
    }

    /// The decision for this API server, `None` if its version cannot be read.
    #[must_use]
    pub fn decide(self, version: &Info) -> Option<bool> {
        match self {
            // A kubelet may be three versions older, and 1.29 has native sidecars. The same limit as
            // in azure-workload-identity.
            Self::Auto => is_at_least(version, 32),
            Self::Off => Some(false),
            Self::On => Some(true),
        }
    }
}

/// Whether the API server can send a list as a stream.
#[must_use]
pub fn lists_as_streams(version: &Info) -> bool {
    const FIRST_MINOR: u32 = 32;
    is_at_least(version, FIRST_MINOR) == Some(true)
}

/// Asks the API server for its version until it answers.
pub async fn of_server(client: &Client) -> Info {
    let mut is_logged = false;
    loop {
        match client.apiserver_version().await {
            Ok(version) => {
                info!(version = %version.git_version, "API server found");
                return version;
            }
            Err(error) => {
                if !is_logged {
                    let error = reason(&error);
                    warn!(
                        error,
                        "the API server cannot be reached: trying again every second"
                    );
                }
                is_logged = true;
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the API server has version 1.`minor` or a newer one, `None` when its version cannot be
/// read (`v0.0.0-master+$Format:%H$`).
fn is_at_least(version: &Info, minor: u32) -> Option<bool> {
    let of_fields = number(&version.major).zip(number(&version.minor));
    let of_text = || {
        let mut parts = version.git_version.trim_start_matches('v').split('.');
        number(parts.next()?).zip(number(parts.next()?))
    };
    match of_fields.or_else(of_text)? {
        (0, _) => None,
        (1, its_minor) => Some(its_minor >= minor),
        _ => Some(true),
    }
}

/// The leading digits: cloud providers write `33+`.
fn number(text: &str) -> Option<u32> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// The first minor version whose API server may keep `restartPolicy` of init containers (KEP-753).
const FIRST_WITH_FIELD: u32 = 28;

const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn supported(major: &str, minor: &str, git_version: &str) -> Option<bool> {
        NativeSidecar::Auto.decide(&Info {
            major: major.into(),
            minor: minor.into(),
            git_version: git_version.into(),
            ..Info::default()
        })
    }

    #[test]
    fn reads_versions_with_suffixes() {
        assert_eq!(supported("1", "33+", "v1.33.1-eks-1234"), Some(true));
        assert_eq!(supported("1", "31", "v1.31.9"), Some(false));
        assert_eq!(supported("1", "32", "v1.32.0-rc.0"), Some(true));
        assert_eq!(supported("", "", "v1.34.2-gke.7"), Some(true));
        assert_eq!(supported("", "", "1.9.0"), Some(false));
        assert_eq!(supported("2", "0", "v2.0.0"), Some(true));
    }

    #[test]
    fn on_and_off_override_the_version() {
        assert_eq!(NativeSidecar::On.decide(&Info::default()), Some(true));
        assert_eq!(NativeSidecar::Off.decide(&Info::default()), Some(false));
    }

    /// The kubelet would wait for the end of the proxy for ever.
    #[test]
    fn refuses_native_sidecars_that_the_api_server_drops() {
        let decided = |choice: NativeSidecar, git_version: &str| {
            choice.decide_or_warn(&Info {
                git_version: git_version.into(),
                ..Info::default()
            })
        };
        for old in ["v1.24.17", "v1.27.16-eks-1234"] {
            let error = decided(NativeSidecar::On, old).unwrap_err().to_string();
            assert!(
                error.contains(old) && error.contains("--native-sidecar=on"),
                "{error}"
            );
            for other in [NativeSidecar::Auto, NativeSidecar::Off] {
                assert_eq!(decided(other, old), Ok(false));
            }
        }
        for kept in ["v1.28.15", "v1.29.0", "v1.34.2-gke.7", "unreadable"] {
            assert_eq!(decided(NativeSidecar::On, kept), Ok(true), "{kept}");
        }
    }

    #[test]
    fn does_not_guess_at_an_unreadable_version() {
        for text in [
            "v0.0.0-master+$Format:%H$",
            "",
            "v",
            "1",
            "v1.",
            "latest",
            "v1.99999999999",
        ] {
            assert_eq!(supported("", "", text), None, "{text:?}");
        }
        assert_eq!(supported("0", "0", "v0.0.0-master"), None);
    }
}
