//! The query of a token request.

use std::borrow::Cow;

use contract::value::MAX_RESOURCE;
pub use contract::value::is_guid;

use super::claims::claims;
use crate::api::refusal::Refusal;
use crate::identity::Identity;
use crate::token::Wanted;

/// A token request, read from its query.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenRequest<'a> {
    /// The identity whose token is requested.
    pub identity: Identity<'a>,
    /// The resource, percent-decoded and otherwise as the client spelled it (IMDS R5).
    pub resource: Cow<'a, str>,
    /// The claims that the token is to have, for Entra.
    pub claims: Option<Box<str>>,
    /// Whether a token in memory will do.
    pub wanted: Wanted,
}

impl<'a> TokenRequest<'a> {
    /// Reads a query. Names are matched without regard to case, so that a selector in another case is
    /// not ignored and answered with another identity's token. Unknown parameters are ignored (IMDS
    /// R11, R12).
    ///
    /// # Errors
    ///
    /// In this order: a name twice, no resource, one that is too long or not printable, more than one
    /// selector, a client id that is no GUID.
    pub fn parse(query: &'a str) -> Result<Self, Refusal> {
        let mut resource = None;
        let mut selected = Vec::new();
        let (mut bypass, mut refused) = (false, None);
        let (mut capabilities, mut claimed) = (None, None);
        let mut known_seen = [false; NAMES.len()];
        let mut others_seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let known = NAMES
                .iter()
                .zip(&mut known_seen)
                .find(|((known, _), _)| name.eq_ignore_ascii_case(known));
            let Some(((known, meaning), seen)) = known else {
                let name = name.to_ascii_lowercase();
                if others_seen.contains(&name) || others_seen.len() == MAX_UNKNOWN {
                    return Err(Refusal::RepeatedParameter);
                }
                others_seen.push(name);
                continue;
            };
            if std::mem::replace(seen, true) {
                return Err(Refusal::RepeatedParameter);
            }
            match meaning {
                // An empty value selects nothing, as in azure-workload-identity and in NMI.
                _ if value.is_empty() => {}
                Meaning::Client | Meaning::Other => selected.push((*known, *meaning, value)),
                Meaning::Ignored => {}
                Meaning::Capabilities => capabilities = Some(value),
                Meaning::Claims => claimed = Some(value),
                Meaning::Bypass => bypass = value.eq_ignore_ascii_case("true"),
                Meaning::Refused => refused = sha256(&value),
                Meaning::Resource => resource = Some(value),
            }
        }
        let resource = resource.ok_or(Refusal::NoResource)?;
        if resource.len() > MAX_RESOURCE {
            return Err(Refusal::ResourceTooLong);
        }
        // Control characters must not reach a log or a label.
        let unprintable =
            |c: char| c == char::REPLACEMENT_CHARACTER || contract::terminal::is_control(c);
        if resource.contains(unprintable) {
            return Err(Refusal::ResourceNotText);
        }
        let identity = match (selected.pop(), selected.is_empty()) {
            (_, false) => return Err(Refusal::SeveralSelectors),
            (None, true) => Identity::Default,
            (Some((_, Meaning::Client, id)), true) if is_guid(&id) => Identity::Client(id),
            (Some((_, Meaning::Client, _)), true) => return Err(Refusal::ClientIdNotGuid),
            (Some((selector, _, id)), true) => Identity::Other { selector, id },
        };
        let wanted = match refused {
            Some(refused) => Wanted::Other(refused),
            None if bypass => Wanted::New,
            None => Wanted::Any,
        };
        Ok(Self {
            identity,
            resource,
            claims: claims(capabilities.as_deref(), claimed.as_deref()),
            wanted,
        })
    }
}

/// Whether IMDS has a parameter of this name, in any case.
#[must_use]
pub fn is_parameter(name: &str) -> bool {
    NAMES
        .iter()
        .any(|(known, _)| name.eq_ignore_ascii_case(known))
}

/// The bytes of 64 hexadecimal digits. Another text names no token, so any will do.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[derive(Clone, Copy)]
enum Meaning {
    Bypass,
    Capabilities,
    Claims,
    Client,
    Ignored,
    Other,
    Refused,
    Resource,
}

/// Parameters of IMDS. `clientid` and `principal_id` are App Service's names for selectors.
const NAMES: [(&str, Meaning); 14] = [
    ("api-version", Meaning::Ignored),
    ("resource", Meaning::Resource),
    ("client_id", Meaning::Client),
    ("clientid", Meaning::Client),
    ("object_id", Meaning::Other),
    ("principal_id", Meaning::Other),
    ("msi_res_id", Meaning::Other),
    ("mi_res_id", Meaning::Other),
    ("msi-res-id", Meaning::Other),
    ("authority", Meaning::Ignored),
    ("bypass_cache", Meaning::Bypass),
    ("token_sha256_to_refresh", Meaning::Refused),
    ("xms_cc", Meaning::Capabilities),
    ("claims", Meaning::Claims),
];

/// How many unknown parameters are checked for repetitions.
const MAX_UNKNOWN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENT: &str = "91be0000-1111-2222-3333-444455556666";

    fn resource(query: &str) -> String {
        TokenRequest::parse(query).unwrap().resource.into_owned()
    }

    fn refusal(query: &str) -> Refusal {
        TokenRequest::parse(query).unwrap_err()
    }

    #[test]
    fn r5_keeps_the_spelling_of_the_resource() {
        for (query, wanted) in [
            (
                "resource=https%3A%2F%2Fvault.azure.net",
                "https://vault.azure.net",
            ),
            (
                "resource=https://vault.azure.net",
                "https://vault.azure.net",
            ),
            (
                "resource=https://vault.azure.net/",
                "https://vault.azure.net/",
            ),
            (
                "resource=https%3a%2f%2fVault.Azure.Net%2f",
                "https://Vault.Azure.Net/",
            ),
            ("resource=api://a%2Bb&api-version=", "api://a+b"),
            ("resource=api://a+b", "api://a b"),
            ("resource=a=b", "a=b"),
            ("api-version=2018-02-01&resource=%C3%A9", "é"),
            ("resource=100%", "100%"),
        ] {
            assert_eq!(resource(query), wanted, "{query}");
        }
    }

    #[test]
    fn r3_refuses_a_missing_and_an_empty_resource() {
        for query in ["", "api-version=2018-02-01", "resource=", "resource", "&&&"] {
            assert_eq!(refusal(query), Refusal::NoResource, "{query}");
        }
        for value in ["%ff", "a%0d%0ab", "a%1b[31m", "a%00", "a%c2%9b"] {
            let query = format!("resource={value}");
            assert_eq!(refusal(&query), Refusal::ResourceNotText, "{value}");
        }
    }

    #[test]
    fn refuses_a_resource_of_more_than_a_kibibyte() {
        let [most, more] = [1024, 1025].map(|length| format!("resource={}", "%61".repeat(length)));
        assert_eq!(resource(&most).len(), 1024);
        assert_eq!(refusal(&more), Refusal::ResourceTooLong);
    }

    #[test]
    fn r10_reads_each_selector() {
        let parse = |query: String| {
            TokenRequest::parse(&query).map(|request| match request.identity {
                Identity::Client(id) => ("client", id.into_owned()),
                Identity::Default => ("default", String::new()),
                Identity::Other { selector, id } => (selector, id.into_owned()),
            })
        };
        for name in ["client_id", "CLIENT_ID", "clientid"] {
            let found = parse(format!("resource=a&{name}={CLIENT}"));
            assert_eq!(found, Ok(("client", CLIENT.to_owned())), "{name}");
        }
        for name in [
            "object_id",
            "principal_id",
            "msi_res_id",
            "mi_res_id",
            "msi-res-id",
        ] {
            let found = parse(format!("{name}=/subscriptions/x&resource=a"));
            assert_eq!(found, Ok((name, "/subscriptions/x".to_owned())));
            assert_eq!(
                parse(format!("{name}=&resource=a")),
                Ok(("default", String::new()))
            );
        }
    }

    #[test]
    fn r10_refuses_two_selectors_after_the_resource_is_checked() {
        let two = format!("client_id={CLIENT}&object_id={CLIENT}");
        assert_eq!(refusal(&two), Refusal::NoResource);
        assert_eq!(
            refusal(&format!("resource=a&{two}")),
            Refusal::SeveralSelectors
        );
        assert_eq!(
            refusal("resource=a&mi_res_id=a&msi_res_id=a"),
            Refusal::SeveralSelectors
        );
    }

    #[test]
    fn refuses_a_client_id_that_is_not_a_guid() {
        for id in [
            "x",
            "91be0000111122223333444455556666",
            "91be0000-1111-2222-3333-44445555666g",
        ] {
            assert_eq!(
                refusal(&format!("resource=a&client_id={id}")),
                Refusal::ClientIdNotGuid
            );
        }
    }

    #[test]
    fn refuses_a_repeated_name() {
        for query in [
            "resource=a&resource=a",
            "resource=a&Resource=b",
            "resource=a&x=1&X=2",
        ] {
            assert_eq!(refusal(query), Refusal::RepeatedParameter, "{query}");
        }
    }

    #[test]
    fn r11_r12_ignores_unknown_parameters() {
        let query = "api-version=none&resource=a&bypass_cache=true&authority=x&xms_cc=cp1&foo";
        assert_eq!(resource(query), "a");
    }

    #[test]
    fn reads_whether_a_token_in_memory_will_do() {
        let wanted = |query: &str| TokenRequest::parse(query).unwrap().wanted;
        let hash = "00ff".repeat(16);
        let other = Wanted::Other([0, 255].repeat(16).try_into().unwrap());
        for (query, expected) in [
            ("resource=a".to_owned(), Wanted::Any),
            ("resource=a&bypass_cache=false".to_owned(), Wanted::Any),
            ("resource=a&bypass_cache=true".to_owned(), Wanted::New),
            ("resource=a&bypass_cache=True".to_owned(), Wanted::New),
            (
                "resource=a&token_sha256_to_refresh=0".to_owned(),
                Wanted::Any,
            ),
            (
                format!("resource=a&token_sha256_to_refresh={}", "é".repeat(32)),
                Wanted::Any,
            ),
            (
                format!("resource=a&token_sha256_to_refresh={}", hash.to_uppercase()),
                other.clone(),
            ),
            (
                format!("resource=a&bypass_cache=true&token_sha256_to_refresh={hash}"),
                other,
            ),
        ] {
            assert_eq!(wanted(&query), expected, "{query}");
        }
    }

    proptest! {
        #[test]
        fn a_resource_survives_its_encoding(text in "\\PC{1,40}") {
            prop_assume!(!text.contains(|c| c == char::REPLACEMENT_CHARACTER || contract::terminal::is_control(c)));
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            prop_assert_eq!(resource(&format!("resource={encoded}")), text);
        }

        #[test]
        fn never_panics(query in "[a-z_=&%+0-9-]{0,200}|\\PC{0,80}") {
            let _ = TokenRequest::parse(&query);
        }

        #[test]
        fn refuses_every_pair_of_selectors(first in 2_usize..9, second in 2_usize..9) {
            let query = format!("resource=a&{}={CLIENT}&{}={CLIENT}", NAMES[first].0, NAMES[second].0);
            prop_assert!(TokenRequest::parse(&query).is_err());
        }
    }
}
