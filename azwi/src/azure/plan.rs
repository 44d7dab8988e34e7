//! Federated credentials that should exist, and those that should not.

use ring::digest::{SHA256, digest};

/// A federated credential that should exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The identity that gets it.
    pub identity: WantedIdentity,
    /// Its name, unique among those of the identity: see [`credential_name`].
    pub name: String,
    /// The issuer of the cluster's tokens, to the letter.
    pub issuer: String,
    /// The subject of the service account's tokens, to the letter: see [`subject`].
    pub subject: String,
    /// The audience of the tokens.
    pub audience: String,
}

/// The identity of a federated credential that should exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedIdentity {
    /// The client id, which an application calls `appId`.
    pub client_id: String,
    /// The resource id of a managed identity, `None` for an application.
    pub resource_id: Option<String>,
    /// Its name in Azure, for people.
    pub name: String,
}

/// A federated credential that should not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwanted {
    /// The identity that has it.
    pub identity: WantedIdentity,
    /// Its name.
    pub name: String,
}

impl Wanted {
    /// The federated credential that a service account needs.
    #[must_use]
    pub fn new(
        identity: WantedIdentity,
        issuer: &str,
        (namespace, account): (&str, &str),
        audience: &str,
    ) -> Self {
        Self {
            identity,
            name: credential_name(namespace, account, issuer),
            issuer: issuer.to_owned(),
            subject: subject(namespace, account),
            audience: audience.to_owned(),
        }
    }
}

/// The subject of a service account's tokens.
#[must_use]
pub fn subject(namespace: &str, account: &str) -> String {
    format!("{SUBJECT}{namespace}:{account}")
}

/// Namespace and name of the service account that a subject names, `None` for a subject of another kind.
#[must_use]
pub fn account_of(subject: &str) -> Option<(&str, &str)> {
    subject.strip_prefix(SUBJECT)?.split_once(':')
}

/// A name for the federated credential of a service account: letters, digits, hyphens, at most 120. It ends in
/// a hash of issuer and subject, because `az` overwrites a credential of the same name: a second cluster
/// whose namespaces have the same names would take the credential of the first.
#[must_use]
pub fn credential_name(namespace: &str, account: &str, issuer: &str) -> String {
    let hash = short_hash(&[issuer, &subject(namespace, account)]);
    let readable = slug(&format!("{namespace}-{account}"), MAX_NAME - hash.len() - 1);
    format!("{readable}-{hash}")
}

/// Letters and digits of `text`, and hyphens for what else it has: `max` characters at most, the first one a
/// letter.
pub(super) fn slug(text: &str, max: usize) -> String {
    let mut slug: String = text
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '-' })
        .collect();
    if !slug.starts_with(|it: char| it.is_ascii_alphabetic()) {
        slug.insert_str(0, "id-");
    }
    slug.truncate(max);
    slug
}

/// The first ten hexadecimal digits of a hash of `parts`.
pub(super) fn short_hash(parts: &[&str]) -> String {
    use std::fmt::Write;

    let hash = digest(&SHA256, parts.join("\n").as_bytes());
    hash.as_ref()
        .iter()
        .take(5)
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

const SUBJECT: &str = "system:serviceaccount:";
/// Characters of a federated credential's name in Azure.
const MAX_NAME: usize = 120;
/// Federated credentials of an application or managed identity.
pub const MAX_CREDENTIALS: usize = 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ISSUER: &str = "https://issuer.example.com/";

    #[test]
    fn a_name_says_whose_credential_it_is() {
        // printf 'https://issuer.example.com/\nsystem:serviceaccount:prod:shop' | sha256sum
        assert_eq!(
            credential_name("prod", "shop", ISSUER),
            "prod-shop-b110510d2d"
        );
    }

    /// Namespace and account can be joined in two ways, and an issuer can have a last slash or not.
    #[test]
    fn names_that_look_alike_differ() {
        let names: BTreeSet<String> = [
            ("a-b", "c", ISSUER),
            ("a", "b-c", ISSUER),
            ("a", "b.c", ISSUER),
            ("a", "b.c", "https://issuer.example.com"),
            ("a", &"b".repeat(253), ISSUER),
            ("a", &"b".repeat(252), ISSUER),
        ]
        .map(|(namespace, account, issuer)| credential_name(namespace, account, issuer))
        .into();
        assert_eq!(names.len(), 6, "{names:?}");
    }

    #[test]
    fn a_subject_names_its_account() {
        assert_eq!(account_of(&subject("prod", "shop")), Some(("prod", "shop")));
        for other in [
            "repo:org/app:ref:refs/heads/main",
            "system:serviceaccount:prod",
            "",
        ] {
            assert_eq!(account_of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn azure_accepts_every_name(namespace in "\\PC{0,80}", account in "\\PC{0,300}") {
            let name = credential_name(&namespace, &account, ISSUER);
            prop_assert!((3..=120).contains(&name.len()), "{}", name);
            prop_assert!(name.starts_with(|it: char| it.is_ascii_alphabetic()));
            prop_assert!(name.chars().all(|it| it.is_ascii_alphanumeric() || it == '-'));
        }
    }
}
