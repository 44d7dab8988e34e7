//! Whether `azwi-proxy` can be a native sidecar (KEP-753).

use k8s_openapi::apimachinery::pkg::version::Info;

/// What the operator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeSidecar {
    /// By the API server's version.
    Auto,
    /// Never.
    Off,
    /// Always.
    On,
}

/// From this minor version of the API server on, every kubelet that it may have (three versions
/// behind) knows native sidecars, as in the peer.
const FIRST_MINOR: u32 = 32;

/// Whether this API server's nodes know native sidecars, `None` when its version cannot be read
/// (`v0.0.0-master+$Format:%H$`).
pub fn is_supported(version: &Info) -> Option<bool> {
    let of_fields = number(&version.major).zip(number(&version.minor));
    let of_text = || {
        let mut parts = version.git_version.trim_start_matches('v').split('.');
        number(parts.next()?).zip(number(parts.next()?))
    };
    let (major, minor) = of_fields.or_else(of_text)?;
    match major {
        0 => None,
        1 => Some(minor >= FIRST_MINOR),
        _ => Some(true),
    }
}

/// The digits in front: cloud providers write `33+`.
fn number(text: &str) -> Option<u32> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supported(major: &str, minor: &str, git_version: &str) -> Option<bool> {
        is_supported(&Info {
            major: major.into(),
            minor: minor.into(),
            git_version: git_version.into(),
            ..Info::default()
        })
    }

    #[test]
    fn versions_with_suffixes_are_read() {
        assert_eq!(supported("1", "33+", "v1.33.1-eks-1234"), Some(true));
        assert_eq!(supported("1", "31", "v1.31.9"), Some(false));
        assert_eq!(supported("1", "32", "v1.32.0-rc.0"), Some(true));
        assert_eq!(supported("", "", "v1.34.2-gke.7"), Some(true));
        assert_eq!(supported("", "", "1.9.0"), Some(false));
        assert_eq!(supported("2", "0", "v2.0.0"), Some(true));
    }

    #[test]
    fn garbage_is_unknown() {
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
