//! How a federated credential differs from the one that a service account needs. Entra compares to the letter.

use std::fmt;

use crate::azure::FederatedCredential;
use crate::azure::plan::Wanted;

/// How a federated credential differs from the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Another audience.
    Audience,
    /// The last slash of the issuer.
    Slash,
    /// Upper and lower case.
    Case,
    /// White space at an end.
    Space,
    /// A letter or two of the issuer.
    Issuer,
    /// A letter or two of the subject.
    Subject,
}

impl Difference {
    /// How `credential` differs from `wanted`. `None` where it is right, or meant for something else.
    #[must_use]
    pub fn between(credential: &FederatedCredential, wanted: &Wanted) -> Option<Self> {
        let pairs = [
            (credential.issuer.as_str(), wanted.issuer.as_str()),
            (credential.subject.as_str(), wanted.subject.as_str()),
        ];
        let are_equal =
            |form: fn(&str) -> String| pairs.iter().all(|(one, other)| form(one) == form(other));
        if are_equal(str::to_owned) {
            let has_audience = credential.audiences.contains(&wanted.audience);
            return (!has_audience).then_some(Self::Audience);
        }
        if are_equal(|it| it.trim().to_owned()) {
            return Some(Self::Space);
        }
        if are_equal(|it| without_slash(it).to_owned()) {
            return Some(Self::Slash);
        }
        if are_equal(|it| without_slash(it).to_lowercase()) {
            return Some(Self::Case);
        }
        let [issuers, subjects] = pairs.map(|(one, other)| {
            let (one, other) = (without_slash(one), without_slash(other));
            strsim::levenshtein(&one.to_lowercase(), &other.to_lowercase())
        });
        match (issuers, subjects) {
            (1..=TYPOS, 0) => Some(Self::Issuer),
            (0, 1..=TYPOS) => Some(Self::Subject),
            _ => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Audience => "its audience is another one",
            Self::Slash => "the issuer differs by the last slash",
            Self::Case => "it differs by upper and lower case",
            Self::Space => "it differs by white space",
            Self::Issuer => "the issuer differs by a letter or two",
            Self::Subject => "the subject differs by a letter or two",
        })
    }
}

fn without_slash(text: &str) -> &str {
    text.trim().trim_end_matches('/')
}

/// Letters in which two texts differ where one is a misspelling of the other.
const TYPOS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::Owner;
    use crate::azure::plan::WantedIdentity;

    const ISSUER: &str = "https://issuer.example.com/cluster/";
    const SUBJECT: &str = "system:serviceaccount:prod:shop";
    const AUDIENCE: &str = "api://AzureADTokenExchange";

    #[test]
    fn names_each_difference() {
        let wanted = Wanted::new(
            WantedIdentity::default(),
            ISSUER,
            ("prod", "shop"),
            AUDIENCE,
        );
        let between = |issuer: &str, subject: &str, audience: &str| {
            let credential = FederatedCredential {
                name: String::new(),
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                audiences: vec![audience.to_owned()],
                owner: Owner::Unknown,
            };
            Difference::between(&credential, &wanted)
        };
        for (issuer, subject, audience, expected) in [
            (ISSUER, SUBJECT, AUDIENCE, None),
            (
                ISSUER,
                SUBJECT,
                "api://azureadtokenexchange",
                Some(Difference::Audience),
            ),
            (
                "https://issuer.example.com/cluster",
                SUBJECT,
                AUDIENCE,
                Some(Difference::Slash),
            ),
            (
                "https://Issuer.example.com/cluster",
                SUBJECT,
                AUDIENCE,
                Some(Difference::Case),
            ),
            (
                ISSUER,
                "system:serviceaccount:Prod:shop",
                AUDIENCE,
                Some(Difference::Case),
            ),
            (
                ISSUER,
                "system:serviceaccount:prod:shop ",
                AUDIENCE,
                Some(Difference::Space),
            ),
            (
                ISSUER,
                "system:serviceaccount:prod:shopp",
                AUDIENCE,
                Some(Difference::Subject),
            ),
            (
                ISSUER,
                "system:serviceaccounts:prod:shop",
                AUDIENCE,
                Some(Difference::Subject),
            ),
            (
                "http://issuer.example.com/cluster/",
                SUBJECT,
                AUDIENCE,
                Some(Difference::Issuer),
            ),
            (
                "https://issuer.example.com/cluster/",
                "system:serviceaccount:prod:cart",
                AUDIENCE,
                None,
            ),
            ("https://other.example.org/", SUBJECT, AUDIENCE, None),
        ] {
            assert_eq!(
                between(issuer, subject, audience),
                expected,
                "{issuer} {subject} {audience}"
            );
        }
    }
}
