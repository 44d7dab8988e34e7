//! How a federated credential differs from what a token has. Entra compares to the letter.

use super::Wanted;
use crate::azure::FederatedCredential;

/// The comparison of a federated credential with a token.
#[derive(Debug)]
pub(super) struct Comparison {
    issuer: Part,
    subject: Part,
    audience: Part,
}

/// The comparison of one value.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Equal,
    /// A slip, with its description.
    Near(String),
    /// Another value, which may be that of another cluster or account.
    Other,
}

impl Comparison {
    pub(super) fn new(credential: &FederatedCredential, wanted: &Wanted<'_>) -> Self {
        let has_audience = credential.audiences.iter().any(|it| it == wanted.audience);
        Self {
            issuer: issuer(&credential.issuer, wanted.issuer),
            subject: near("subject", &credential.subject, &wanted.subject),
            audience: if has_audience {
                Part::Equal
            } else {
                Part::Near(format!(
                    "the audience is {}, and {} is needed",
                    credential.audiences.join(", "),
                    wanted.audience
                ))
            },
        }
    }

    /// Whether Entra accepts the token by this credential.
    pub(super) fn is_exact(&self) -> bool {
        self.parts().iter().all(|it| **it == Part::Equal)
    }

    /// Whether the credential is meant for the token, and has a slip.
    pub(super) fn is_near(&self) -> bool {
        !self.is_exact() && !self.parts().contains(&&Part::Other)
    }

    /// Each slip.
    pub(super) fn differences(&self) -> Vec<&str> {
        let parts = self.parts().into_iter();
        parts
            .filter_map(|it| match it {
                Part::Near(description) => Some(description.as_str()),
                _ => None,
            })
            .collect()
    }

    fn parts(&self) -> [&Part; 3] {
        [&self.issuer, &self.subject, &self.audience]
    }
}

fn issuer(has: &str, wanted: &str) -> Part {
    let compared = near("issuer", has, wanted);
    if compared != Part::Other {
        return compared;
    }
    if let (Some((host, path)), Some((wanted_host, wanted_path))) = (split(has), split(wanted)) {
        // A path such as a cluster's id is not another cluster's.
        if path == wanted_path && path.len() > 1 && host != wanted_host {
            return Part::Near(format!(
                "the issuer is {has}, and {wanted} is needed: they differ by the host"
            ));
        }
    }
    Part::Other
}

fn near(name: &str, has: &str, wanted: &str) -> Part {
    let without_slash = |it: &str| it.trim().trim_end_matches('/').to_owned();
    let slip = if has == wanted {
        return Part::Equal;
    } else if has.trim() == wanted {
        "white space at an end"
    } else if without_slash(has) == without_slash(wanted) {
        "the last slash"
    } else if without_slash(has).eq_ignore_ascii_case(&without_slash(wanted)) {
        "the letter case"
    } else {
        return Part::Other;
    };
    Part::Near(format!(
        "the {name} is {has}, and {wanted} is needed: they differ by {slip}"
    ))
}

/// Host and path of a URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    Some(rest.split_at(rest.find('/').unwrap_or(rest.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::Owner;

    fn compared(issuer: &str, subject: &str, audience: &str) -> Comparison {
        let credential = FederatedCredential {
            name: "f".to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audiences: vec![audience.to_owned()],
            owner: Owner::Unknown,
        };
        let wanted = Wanted {
            issuer: "https://issuer.example.com/id/",
            subject: "system:serviceaccount:prod:shop".to_owned(),
            audience: "api://AzureADTokenExchange",
        };
        Comparison::new(&credential, &wanted)
    }

    #[test]
    fn names_each_slip() {
        let (issuer, subject, audience) = (
            "https://issuer.example.com/id/",
            "system:serviceaccount:prod:shop",
            "api://AzureADTokenExchange",
        );
        assert!(compared(issuer, subject, audience).is_exact());
        for (issuer, subject, audience, part) in [
            (
                "https://issuer.example.com/id",
                subject,
                audience,
                "last slash",
            ),
            ("https://issuer.example.org/id/", subject, audience, "host"),
            (
                "https://Issuer.example.com/ID/",
                subject,
                audience,
                "letter case",
            ),
            (
                issuer,
                "system:serviceaccount:Prod:shop",
                audience,
                "letter case",
            ),
            (
                issuer,
                "system:serviceaccount:prod:shop ",
                audience,
                "white space",
            ),
            (issuer, subject, "api://AzureADTokenexchange", "audience"),
        ] {
            let compared = compared(issuer, subject, audience);
            assert!(compared.is_near() && !compared.is_exact(), "{compared:?}");
            assert!(
                compared.differences().join(";").contains(part),
                "{compared:?}"
            );
        }
    }

    #[test]
    fn a_credential_for_another_cluster_or_account_is_no_slip() {
        let subject = "system:serviceaccount:prod:shop";
        for (issuer, subject) in [
            ("https://issuer.example.com/other/", subject),
            (
                "https://issuer.example.com/id/",
                "system:serviceaccount:dev:shop",
            ),
            (
                "https://issuer.example.com/id/",
                "system:serviceaccount:prod:other",
            ),
        ] {
            let compared = compared(issuer, subject, "api://AzureADTokenExchange");
            assert!(!compared.is_near() && !compared.is_exact(), "{compared:?}");
        }
    }
}
