//! Compares the issuer's documents with the cluster's, and with a token.

use super::documents::{Discovery, is_public};
use super::fetch::Published;
use super::key_set::{Key, KeySet};
use crate::checks::{Code, Finding};
use crate::facts::object::Object;
use crate::facts::token::Token;

/// What is compared. `None` is what could not be read.
#[derive(Debug, Default)]
pub struct Observed {
    /// The issuer whose documents were read.
    pub issuer: String,
    /// The API server's discovery document.
    pub discovery: Option<Discovery>,
    /// The API server's key set.
    pub keys: Option<KeySet>,
    /// A token of the API server, without the token itself.
    pub token: Option<Token>,
    /// The issuer's documents as the internet has them.
    pub published: Option<Published>,
}

/// What is wrong, in the order of the way that Entra takes.
#[must_use]
pub fn check(observed: &Observed) -> Vec<Finding> {
    let checker = Checker {
        issuer: Object::new("Issuer", "", &observed.issuer),
        observed,
    };
    let mut findings = checker.of_cluster();
    match &observed.published {
        None => {}
        Some(Published::Missing { url, reason }) => {
            let cause = format!("Entra cannot read {url}: {reason}");
            findings.push(checker.finding(Code::NotPublic, &cause, Some(PUBLISH)));
        }
        Some(Published::Documents { discovery, keys }) => {
            findings.extend(checker.other_issuer("the published document", &discovery.issuer));
            findings.extend(checker.of_keys(keys));
        }
    }
    findings.sort_by_key(|it| it.code.severity());
    findings
}

struct Checker<'a> {
    issuer: Object,
    observed: &'a Observed,
}

impl Checker<'_> {
    fn finding(&self, code: Code, cause: &str, fix: Option<&str>) -> Finding {
        Finding::new(code, &self.issuer, cause, fix.map(str::to_owned))
    }

    /// What the cluster alone shows.
    fn of_cluster(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Observed {
            issuer,
            discovery,
            keys,
            token,
            ..
        } = self.observed;
        if !is_public(issuer) {
            let cause = "the issuer is not public: Entra cannot read its documents";
            findings.push(self.finding(Code::PrivateIssuer, cause, None));
        }
        if let Some(discovery) = discovery {
            findings.extend(self.other_issuer("the API server's document", &discovery.issuer));
        }
        let Some(token) = token else {
            return findings;
        };
        if token.algorithm != "RS256" {
            let cause = format!(
                "the API server signs tokens with {}: Entra accepts RS256 alone",
                token.algorithm
            );
            findings.push(self.finding(Code::Algorithm, &cause, None));
        }
        findings.extend(self.other_issuer("a new token", &token.issuer));
        if keys
            .as_ref()
            .is_some_and(|it| it.key(&token.key_id).is_none())
        {
            let cause = format!(
                "the key {} of a new token is not in the API server's key set",
                token.key_id
            );
            findings.push(self.finding(
                Code::UnknownKey,
                &cause,
                Some("kubectl get --raw /openid/v1/jwks"),
            ));
        }
        findings
    }

    /// An issuer that is another one than that whose documents were read.
    fn other_issuer(&self, of: &str, other: &str) -> Option<Finding> {
        let issuer = &self.observed.issuer;
        if other == issuer {
            return None;
        }
        let hint = if other.trim_end_matches('/') == issuer.trim_end_matches('/') {
            ": they differ by the last slash"
        } else {
            ""
        };
        let cause = format!("the issuer of {of} is {other}, not {issuer}{hint}");
        Some(self.finding(Code::OtherIssuer, &cause, Some(DISCOVERY)))
    }

    /// The published keys.
    fn of_keys(&self, published: &KeySet) -> Vec<Finding> {
        let none = KeySet::default();
        let cluster = self.observed.keys.as_ref().unwrap_or(&none);
        let token = self.observed.token.as_ref();
        let signing = token.map(|it| it.key_id.as_str()).unwrap_or_default();
        let mut findings = Vec::new();
        for key in &published.keys {
            findings.extend(self.of_key(key, cluster, signing));
        }
        if token.is_some() && published.key(signing).is_none() {
            let cause = format!("the key {signing} of a new token is not published");
            findings.push(self.finding(Code::OldKeys, &cause, Some(PUBLISH)));
        }
        for key in &cluster.keys {
            let id = key.id();
            if id != signing && published.key(id).is_none() {
                let cause = format!(
                    "the API server accepts tokens of key {id}, which is not published: when it signs, Entra refuses them"
                );
                findings.push(self.finding(Code::UnpublishedKey, &cause, Some(PUBLISH)));
            }
        }
        findings
    }

    fn of_key(&self, key: &Key, cluster: &KeySet, signing: &str) -> Option<Finding> {
        let id = key.id();
        if key.is_secret() {
            let cause = format!(
                "the private part of key {id} is published: who has it signs tokens of every service account. Make a new key"
            );
            return Some(self.finding(Code::SecretKey, &cause, None));
        }
        let Some(known) = cluster.key(id) else {
            let cause = format!(
                "the published key {id} is none of this API server: an old one, or that of another cluster"
            );
            let is_read = self.observed.keys.is_some();
            return is_read.then(|| self.finding(Code::FormerKey, &cause, None));
        };
        if (&known.n, &known.e) != (&key.n, &key.e) {
            let cause = format!("the published key {id} is not the API server's key of this id");
            return Some(self.finding(Code::OldKeys, &cause, Some(PUBLISH)));
        }
        let is_needed = signing.is_empty() || id == signing;
        (is_needed && !key.is_usable()).then(|| {
            let cause = format!(
                "the published key {id} is not RSA with use sig and alg RS256: Entra does not take it"
            );
            self.finding(Code::KeyUse, &cause, Some(PUBLISH))
        })
    }
}

const DISCOVERY: &str = "kubectl get --raw /.well-known/openid-configuration";
const PUBLISH: &str = "azwi issuer publish <directory>";

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example.com/cluster";

    fn key(id: &str) -> Key {
        Key {
            usage: Some("sig".to_owned()),
            kty: "RSA".to_owned(),
            kid: Some(id.to_owned()),
            alg: Some("RS256".to_owned()),
            n: Some(format!("modulus of {id}")),
            e: Some("AQAB".to_owned()),
            ..Key::default()
        }
    }

    fn keys(ids: &[&str]) -> KeySet {
        KeySet {
            keys: ids.iter().map(|it| key(it)).collect(),
        }
    }

    fn healthy() -> Observed {
        Observed {
            issuer: ISSUER.to_owned(),
            discovery: Some(Discovery::of(ISSUER)),
            keys: Some(keys(&["one"])),
            token: Some(Token {
                algorithm: "RS256".to_owned(),
                key_id: "one".to_owned(),
                issuer: ISSUER.to_owned(),
                ..Token::default()
            }),
            published: Some(Published::Documents {
                discovery: Discovery::of(ISSUER),
                keys: keys(&["one"]),
            }),
        }
    }

    fn published(observed: &mut Observed) -> (&mut Discovery, &mut KeySet) {
        match &mut observed.published {
            Some(Published::Documents { discovery, keys }) => (discovery, keys),
            other => panic!("{other:?}"),
        }
    }

    fn codes(change: impl FnOnce(&mut Observed)) -> Vec<&'static str> {
        let mut observed = healthy();
        change(&mut observed);
        check(&observed).iter().map(|it| it.code.as_str()).collect()
    }

    #[test]
    fn a_right_issuer_gives_no_finding() {
        assert_eq!(codes(|_| ()), [""; 0]);
        // What could not be read is no finding.
        assert_eq!(codes(|it| it.token = None), [""; 0]);
        assert_eq!(codes(|it| it.keys = None), [""; 0]);
        assert_eq!(codes(|it| it.published = None), [""; 0]);
    }

    #[test]
    fn each_fault_has_its_code() {
        type Change = fn(&mut Observed);
        for (change, expected) in [
            (
                (|it| it.token.as_mut().unwrap().algorithm = "ES256".to_owned()) as Change,
                "AZWI-T001",
            ),
            (|it| published(it).0.issuer.push('/'), "AZWI-T003"),
            (
                |it| it.token.as_mut().unwrap().issuer.push('/'),
                "AZWI-T003",
            ),
            (
                |it| it.discovery.as_mut().unwrap().issuer.push('x'),
                "AZWI-T003",
            ),
            (|it| it.keys = Some(keys(&[])), "AZWI-T004"),
            (
                |it| {
                    it.published = Some(Published::Missing {
                        url: "https://issuer.example.com/".to_owned(),
                        reason: "its status is 404".to_owned(),
                    });
                },
                "AZWI-T005",
            ),
            (|it| published(it).1.keys.clear(), "AZWI-T006"),
            (|it| published(it).1.keys[0].n = None, "AZWI-T006"),
            (
                |it| published(it).1.keys[0].alg = Some("PS256".to_owned()),
                "AZWI-T007",
            ),
            (
                |it| published(it).1.keys[0].usage = Some("enc".to_owned()),
                "AZWI-T007",
            ),
            (|it| it.keys = Some(keys(&["one", "two"])), "AZWI-T009"),
            (|it| published(it).1.keys.push(key("old")), "AZWI-T010"),
            (
                |it| {
                    let other = &mut published(it).1.keys[0].other;
                    other.insert("d".to_owned(), "AQ".into());
                },
                "AZWI-T011",
            ),
        ] {
            assert_eq!(codes(change)[..1], [expected]);
        }
        let private = "https://kubernetes.default.svc";
        let found = codes(|it| it.issuer = private.to_owned());
        assert!(found.contains(&"AZWI-T002"), "{found:?}");
    }

    /// The new key is published before it signs, the old one stays after.
    #[test]
    fn a_rotation_is_right_at_each_step() {
        let step = |cluster: &[&str], signing: &str, published_ids: &[&str]| {
            let mut observed = healthy();
            observed.keys = Some(keys(cluster));
            observed.token.as_mut().unwrap().key_id = signing.to_owned();
            *published(&mut observed).1 = keys(published_ids);
            check(&observed)
                .iter()
                .map(|it| it.code.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(step(&["one", "two"], "one", &["one"]), ["AZWI-T009"]);
        assert_eq!(step(&["one", "two"], "one", &["one", "two"]), [""; 0]);
        assert_eq!(step(&["one", "two"], "two", &["one", "two"]), [""; 0]);
        assert_eq!(step(&["two"], "two", &["two", "one"]), ["AZWI-T010"]);
        assert_eq!(step(&["two"], "two", &["one"]), ["AZWI-T006", "AZWI-T010"]);
    }
}
