//! Which paths are the token endpoint, which are the node's identity, and which may be relayed (R1,
//! R14, D9; law 1).

pub use contract::path::canonical;

/// The place that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path that has nothing to do with identity. It may be relayed.
    Elsewhere,
    /// A path that servers could read as different ones. It is never relayed.
    Malformed,
    /// Under `/metadata/identity`, however it is spelled. Relayed, it would hand out the node's
    /// identity (IMDS D9, CVE-2022-23551).
    NodeIdentity,
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
    } else if canonical == IDENTITY
        || canonical
            .strip_prefix(IDENTITY)
            .is_some_and(|rest| rest.starts_with('/'))
    {
        Place::NodeIdentity
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
const IDENTITY: &str = "/metadata/identity";

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
        ] {
            let place = place(path);
            assert_ne!(place, Place::Elsewhere, "{path}");
            assert_ne!(place, Place::Token, "{path}");
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
            "/latest/meta-data/iam/security-credentials/",
            "/latest/api/token",
            "/computeMetadata/v1/instance/../project",
            "/identity/metadata",
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

        /// The `url` crate reads paths as browsers do: a path that it takes for identity, after any
        /// number of decodings, must not be relayed.
        #[test]
        fn d9_agrees_with_a_parser_of_the_url_standard(path in r"/(metadata|m%65tadata|\.\.|\.|%2e|;|\\|/|identity|%69dentity|%2F|%25){0,9}") {
            let mut seen = path.clone();
            for _ in 0..4 {
                let Ok(url) = reqwest::Url::parse("http://169.254.169.254").and_then(|base| base.join(&format!("http://169.254.169.254{seen}"))) else { break };
                let read = url.path().to_ascii_lowercase();
                let read = read.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>();
                if read.starts_with(&["metadata", "identity"]) {
                    prop_assert_ne!(place(&path), Place::Elsewhere, "{}", path);
                }
                seen = percent_decode(url.path().as_bytes()).decode_utf8_lossy().into_owned();
            }
        }
    }
}
