//! What the API server's version allows: native sidecars (KEP-753), lists as streams (KEP-3157).

use k8s_openapi::apimachinery::pkg::version::Info;

/// What the operator decided about native sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeSidecar {
    /// By the API server's version.
    Auto,
    /// Never.
    Off,
    /// Always.
    On,
}

impl NativeSidecar {
    /// Whether the proxy is injected as one, `None` when that is not known.
    pub fn decide(self, version: &Info) -> Option<bool> {
        match self {
            // Every kubelet that such an API server may have (three versions behind) knows native
            // sidecars, as in the peer.
            Self::Auto => is_at_least(version, 32),
            Self::Off => Some(false),
            Self::On => Some(true),
        }
    }
}

/// Whether the API server is of version 1.`minor` or newer, `None` when its version cannot be read
/// (`v0.0.0-master+$Format:%H$`).
pub fn is_at_least(version: &Info, minor: u32) -> Option<bool> {
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
        NativeSidecar::Auto.decide(&Info {
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
    fn the_operators_word_counts_for_any_version() {
        assert_eq!(NativeSidecar::On.decide(&Info::default()), Some(true));
        assert_eq!(NativeSidecar::Off.decide(&Info::default()), Some(false));
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
