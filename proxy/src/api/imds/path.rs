//! Which paths are the token endpoint, which are the node's identity, and which may be relayed (R1,
//! R14, D9; law 1).

use contract::path::names_node_identity;

pub use contract::path::canonical;

use crate::api::{quit, readiness};

/// The place that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path that has nothing to do with identity. It may be relayed.
    Elsewhere,
    /// A path that servers could read as different ones. It is never relayed.
    Malformed,
    /// A path with `metadata` followed by `identity`, however it is spelled. Relayed, it would hand out
    /// the node's identity (IMDS D9, CVE-2022-23551).
    NodeIdentity,
    /// A path that begins with one of the proxy's own.
    Own,
    /// The token endpoint (IMDS R1).
    Token,
    /// The token endpoint in a spelling that IMDS does not accept.
    TokenMisspelled,
}

/// Finds the place that `path` names. The path is as received: percent-encoded, and without its query.
#[must_use]
pub fn place(path: &str) -> Place {
    if path == TOKEN || is_token_endpoint(path) {
        return Place::Token;
    }
    let Some(canonical) = canonical(path) else {
        return Place::Malformed;
    };
    if canonical == TOKEN {
        Place::TokenMisspelled
    } else if names_node_identity(&canonical) {
        Place::NodeIdentity
    } else if canonical.starts_with(readiness::PATH) || canonical.starts_with(quit::PATH) {
        Place::Own
    } else {
        Place::Elsewhere
    }
}

/// IMDS R1: `metadata` in any case, the rest as it is written, one slash more at either end.
/// msal4j doubles the first slash.
fn is_token_endpoint(path: &str) -> bool {
    let path = path.strip_prefix("//").or_else(|| path.strip_prefix('/'));
    path.and_then(|path| path.split_once('/'))
        .is_some_and(|(first, rest)| {
            first.eq_ignore_ascii_case("metadata")
                && rest.strip_suffix('/').unwrap_or(rest) == "identity/oauth2/token"
        })
}

const TOKEN: &str = "/metadata/identity/oauth2/token";

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode;
    use proptest::prelude::*;

    #[test]
    fn r1_accepts_the_spellings_of_the_token_endpoint() {
        for path in [
            "/metadata/identity/oauth2/token",
            "/metadata/identity/oauth2/token/",
            "/METADATA/identity/oauth2/token",
            "/Metadata/identity/oauth2/token/",
            "//metadata/identity/oauth2/token",
        ] {
            assert_eq!(place(path), Place::Token, "{path}");
        }
    }

    #[test]
    fn d8_a_path_that_only_begins_like_the_token_endpoint_is_refused() {
        for path in [
            "/metadata/identity/oauth2/tokenXYZ",
            "/metadata/identity/oauth2/token/x",
            "/metadata/identity/oauth2",
            "/metadata/identity",
            "/metadata/identity/info",
            "/metadata/identity/getplatformmetadata",
            "/metadata/identity/issuecredential",
        ] {
            assert_eq!(place(path), Place::NodeIdentity, "{path}");
        }
    }

    #[test]
    fn d9_every_spelling_of_identity_stays_here() {
        for path in [
            r"/metadata/identity\oauth2\token",
            r"/metadata\identity\oauth2\token",
            r"\metadata\identity\oauth2\token",
            "/metadata/Identity/oauth2/token",
            "/metadata/identity%5coauth2%5Ctoken",
            "/metadata/identity%2foauth2%2Ftoken",
            "/metadata%252fidentity%25252foauth2/token",
            "/%6detadata/%69dentity/oauth2/token",
            "/metadata//identity///oauth2/token",
            "/./metadata/./identity/oauth2/token",
            "/metadata;a=b/identity;c/oauth2/token",
            "/metadata/identity./oauth2/token",
            "/metadata/identity%20/oauth2/token",
            "/metadata/identity/oauth2/token//",
            "/metadata/instance/../identity/oauth2/token",
            "/metadata/instance/%2e%2e/identity/info",
            "/metadata/identity/../instance",
            "/metadata/identity%3f/x",
            "/x%3f/../metadata/identity/oauth2/token",
            "/metadata/identity%00/oauth2/token",
            "/metadata/identit%u0079/info",
            "/metadata/identity%c0%afoauth2/token",
            "/metadata/\u{ff49}dentity/info",
            "metadata/identity/oauth2/token",
            "*",
            "//x/metadata/identity/oauth2/token",
            "//user@x:80/metadata/identity/info",
            r"/\x/metadata/identity/oauth2/token",
            r"\\x\metadata\identity\info",
            "/http://x/metadata/identity/oauth2/token",
            "/http:/metadata/identity/info",
            "/http:metadata/identity/info",
            "/%68ttp%3A%2F%2Fx/metadata/identity/info",
            "///metadata/identity/info",
            "/x/metadata/identity/info",
            "/x;/metadata/identity/info",
            "/x%3f/metadata/identity/info",
            "/metadata:80/identity/info",
            "/metadata/identity::$DATA/info",
            "/metadata/%20identity/info",
            "/metadata/identity,x",
        ] {
            let place = place(path);
            assert_ne!(place, Place::Elsewhere, "{path}");
            assert_ne!(place, Place::Token, "{path}");
        }
    }

    #[test]
    fn nothing_that_begins_with_an_own_path_is_relayed() {
        for path in [
            "/readyz/x",
            "/readyzz",
            "/READYZ/",
            "/%72eadyz",
            "//readyz",
            "/x/../readyz",
            "/quitquitquit",
            "/quitquitquit/",
            "/quitquitquit;a/x",
            "/QuitQuitQuit",
            "/%71uitquitquit",
            "//quitquitquit.",
            r"\quitquitquit",
        ] {
            assert_eq!(place(path), Place::Own, "{path}");
        }
    }

    #[test]
    fn other_paths_may_be_relayed() {
        for path in [
            "/",
            "/metadata/instance",
            "/metadata/instance/compute/location",
            "/metadata/scheduledevents",
            "/metadata/identities",
            "/metadata/instance/identity",
            "/metadata/instance/../attested/document",
            "/latest/meta-data/instance-id",
            "/identity/metadata",
            "/x/readyz",
        ] {
            assert_eq!(place(path), Place::Elsewhere, "{path}");
        }
    }

    /// Rewrites one character of a path in a way that some server undoes.
    fn disguised(character: char, how: u8) -> String {
        match how {
            1 if character == '/' => r"\".to_owned(),
            2 if character == '/' => "//".to_owned(),
            3 if character == '/' => "/./".to_owned(),
            4 if character == '/' => "/x/../".to_owned(),
            5 if character == '/' => ";p=1/".to_owned(),
            6 if character == '/' => "./".to_owned(),
            7 => format!("%{:02x}", character as u32),
            8 => format!("%25{:02X}", character as u32),
            9 => format!("%2525{:02X}", character as u32),
            10 => character.to_uppercase().to_string(),
            _ => character.to_string(),
        }
    }

    proptest! {
        #[test]
        fn d9_no_disguised_spelling_of_identity_is_relayed(
            hows in proptest::collection::vec(0_u8..12, 40),
            tail in "[a-z0-9/%.;]{0,12}",
        ) {
            let mut path: String = "/metadata/identity/"
                .chars()
                .zip(&hows)
                .map(|(character, how)| disguised(character, *how))
                .collect();
            path.push_str(&tail);
            prop_assert_ne!(place(&path), Place::Elsewhere, "{}", path);
        }

        /// A server may take a target for a reference and resolve it, as RFC 3986 or as WHATWG's URL
        /// standard say, after any number of decodings.
        #[test]
        fn d9_no_target_that_resolves_to_identity_is_relayed(path in target()) {
            let mut seen = path.clone();
            for _ in 0..5 {
                let without_slash = seen.strip_prefix(['/', '\\']).unwrap_or(&seen);
                for reference in [&*seen, without_slash, &seen.replace('\\', "/")] {
                    for read in [whatwg(reference), Some(rfc_3986(reference))].into_iter().flatten() {
                        let is_refused = place(&path) != Place::Elsewhere;
                        prop_assert!(is_refused || !is_identity(&read), "{} is read as {}", path, read);
                    }
                }
                seen = percent_decode(seen.as_bytes()).decode_utf8_lossy().into_owned();
            }
        }
    }

    /// Targets of the parts that readers treat specially.
    fn target() -> impl Strategy<Value = String> {
        let part = r"metadata|identity|m%65tadata|Metadata|%69dentity|IDENTITY|x|http:|[.]|[.][.]|%2e|%252E|;p|@|:80|[?]|%3f|%23|\t|%09|%20";
        let end = r"/|//|\\|%2f|%5C|%252f|";
        let parts = proptest::collection::vec((part, end), 0..8);
        let start =
            proptest::sample::select(vec!["/", "//", "/\\", "\\\\", "/http://", "/%2f", "///"]);
        (start, parts).prop_map(|(start, parts)| {
            let parts = parts.iter().map(|(part, end)| format!("{part}{end}"));
            start.to_owned() + &parts.collect::<String>()
        })
    }

    /// The path of a reference by the `url` crate, which reads as browsers do.
    fn whatwg(reference: &str) -> Option<String> {
        let base = reqwest::Url::parse("http://169.254.169.254/").unwrap();
        Some(base.join(reference).ok()?.path().to_owned())
    }

    /// The path of a reference by RFC 3986, section 5.2.
    fn rfc_3986(reference: &str) -> String {
        let mut rest = reference.split(['?', '#']).next().unwrap_or_default();
        if let Some((scheme, after)) = rest.split_once(':')
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        {
            rest = after;
        }
        if let Some(after) = rest.strip_prefix("//") {
            rest = after.find('/').map_or("", |slash| &after[slash..]);
        }
        // Section 5.2.4.
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            match segment {
                "." => {}
                ".." => {
                    segments.pop();
                }
                segment => segments.push(segment),
            }
        }
        segments.join("/")
    }

    /// Whether a server could take a resolved path for one of identity: one that ignores case,
    /// parameters and empty segments.
    fn is_identity(path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        let segments = path
            .split('/')
            .map(|it| it.split(';').next().unwrap_or_default());
        let segments: Vec<_> = segments.filter(|it| !it.is_empty()).collect();
        segments
            .windows(2)
            .any(|pair| pair == ["metadata", "identity"])
    }
}
