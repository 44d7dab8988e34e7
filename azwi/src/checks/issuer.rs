//! The issuer's documents, compared with the API server's and with a token.

use super::code::Code;
use super::finding::Finding;
use super::fix;
use crate::command::Command;
use crate::facts::issuer::{Issuer, Published, is_public};
use crate::facts::key_set::{Key, KeySet};
use crate::facts::object::Object;
use crate::facts::token::Token;

/// What is wrong, errors first, in the order of the way that Entra takes.
pub(super) fn check(issuer: &Issuer, token: Option<&Token>) -> Vec<Finding> {
    let checker = Checker {
        object: Object::new("Issuer", "", &issuer.url),
        issuer,
        token,
    };
    let mut findings = checker.of_cluster();
    match &issuer.published {
        None => {}
        Some(Published::Missing { url, reason }) => {
            let cause = format!("Entra cannot read {url}: {reason}");
            findings.push(checker.finding(Code::NotPublic, &cause, Some(PUBLISH)));
        }
        Some(Published::Documents { discovery, keys }) => {
            findings.extend(checker.other_issuer("the published document", &discovery.issuer));
            findings.extend(checker.of_published(keys));
        }
    }
    findings.sort_by_key(|it| it.code.severity());
    findings
}

struct Checker<'a> {
    object: Object,
    issuer: &'a Issuer,
    token: Option<&'a Token>,
}

impl Checker<'_> {
    fn finding(&self, code: Code, cause: &str, fix: Option<&'static str>) -> Finding {
        Finding::new(code, &self.object, cause, fix.map(Command::new))
    }

    /// What the cluster alone shows.
    fn of_cluster(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let algorithm = self.token.map(|it| it.algorithm.as_str());
        if let Some(algorithm) = algorithm.filter(|it| *it != "RS256") {
            let cause =
                format!("the API server signs tokens with {algorithm}: Entra accepts RS256 alone");
            findings.push(self.finding(Code::Algorithm, &cause, Some(READ_DISCOVERY)));
        }
        if !is_public(&self.issuer.url) {
            let cause = "the issuer is not public: Entra cannot read its documents";
            findings.push(self.finding(Code::PrivateIssuer, cause, Some(ENABLE)));
        }
        if let Some(discovery) = &self.issuer.discovery {
            findings.extend(self.other_issuer("the API server's document", &discovery.issuer));
        }
        if let Some(token) = self.token {
            findings.extend(self.other_issuer("a new token", &token.issuer));
            findings.extend(self.unknown_key(token));
        }
        findings
    }

    fn unknown_key(&self, token: &Token) -> Option<Finding> {
        let keys = self.issuer.keys.as_ref()?;
        if keys.key(&token.key_id).is_some() {
            return None;
        }
        let cause = format!(
            "the key {} that signed the token is not in the API server's key set",
            token.key_id
        );
        Some(self.finding(Code::UnknownKey, &cause, Some(fix::READ_KEYS)))
    }

    /// An issuer that is another one than that whose documents were read.
    fn other_issuer(&self, of: &str, other: &str) -> Option<Finding> {
        let issuer = &self.issuer.url;
        if other == issuer {
            return None;
        }
        let hint = if other.trim_end_matches('/') == issuer.trim_end_matches('/') {
            ": they differ by the last slash"
        } else {
            ""
        };
        let cause = format!("the issuer of {of} is {other}, not {issuer}{hint}");
        Some(self.finding(Code::OtherIssuer, &cause, Some(READ_DISCOVERY)))
    }

    /// The published keys.
    fn of_published(&self, published: &KeySet) -> Vec<Finding> {
        let signing = self.token.map(|it| it.key_id.as_str());
        let keys = published.keys.iter();
        let mut findings: Vec<Finding> = keys.filter_map(|it| self.of_key(it, signing)).collect();
        if let Some(signing) = signing.filter(|it| published.key(it).is_none()) {
            let cause = format!("the key {signing} that signed the token is not published");
            findings.push(self.finding(Code::OldKeys, &cause, Some(PUBLISH)));
        }
        for key in self.issuer.keys.iter().flat_map(|it| &it.keys) {
            let id = key.id();
            if signing != Some(id) && published.key(id).is_none() {
                let cause = format!(
                    "the API server accepts tokens of key {id}, which is not published: when it signs, Entra refuses them"
                );
                findings.push(self.finding(Code::UnpublishedKey, &cause, Some(PUBLISH)));
            }
        }
        findings
    }

    /// A published key. `signing` is the id of the key that signed the token.
    fn of_key(&self, key: &Key, signing: Option<&str>) -> Option<Finding> {
        let id = key.id();
        if key.is_secret() {
            let cause = format!(
                "the private part of key {id} is published: anyone can sign tokens of every service account with it. Make a new key"
            );
            return Some(self.finding(Code::SecretKey, &cause, None));
        }
        if let Some(cluster) = &self.issuer.keys {
            let Some(known) = cluster.key(id) else {
                let cause = format!(
                    "the published key {id} is none of this API server: an old one, or that of another cluster"
                );
                return Some(self.finding(Code::FormerKey, &cause, None));
            };
            if (&known.n, &known.e) != (&key.n, &key.e) {
                let cause =
                    format!("the published key {id} is not the API server's key of this id");
                return Some(self.finding(Code::OldKeys, &cause, Some(PUBLISH)));
            }
        } else if signing.is_none() {
            // It may be an old one.
            return None;
        }
        let is_needed = signing.is_none_or(|it| it == id);
        (is_needed && !key.is_usable()).then(|| {
            let cause = format!(
                "the published key {id} is not RSA with use sig and alg RS256: Entra does not take it"
            );
            self.finding(Code::KeyUse, &cause, Some(PUBLISH))
        })
    }
}

const READ_DISCOVERY: &str = "kubectl get --raw /.well-known/openid-configuration";
const PUBLISH: &str = "azwi issuer publish <directory>";
/// For AKS; the documentation has the way of other clusters.
const ENABLE: &str = "az aks update --resource-group <group> --name <cluster> --enable-oidc-issuer";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::issuer::Discovery;

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

    struct Observed {
        issuer: Issuer,
        token: Option<Token>,
    }

    fn healthy() -> Observed {
        Observed {
            issuer: Issuer {
                url: ISSUER.to_owned(),
                discovery: Some(Discovery::of(ISSUER)),
                keys: Some(keys(&["one"])),
                published: Some(Published::Documents {
                    discovery: Discovery::of(ISSUER),
                    keys: keys(&["one"]),
                }),
            },
            token: Some(Token {
                algorithm: "RS256".to_owned(),
                key_id: "one".to_owned(),
                issuer: ISSUER.to_owned(),
                ..Token::default()
            }),
        }
    }

    fn published(observed: &mut Observed) -> (&mut Discovery, &mut KeySet) {
        match &mut observed.issuer.published {
            Some(Published::Documents { discovery, keys }) => (discovery, keys),
            other => panic!("{other:?}"),
        }
    }

    fn codes(change: impl FnOnce(&mut Observed)) -> Vec<&'static str> {
        let mut observed = healthy();
        change(&mut observed);
        codes_of(&observed)
    }

    fn codes_of(observed: &Observed) -> Vec<&'static str> {
        let found = check(&observed.issuer, observed.token.as_ref());
        found.iter().map(|it| it.code.as_str()).collect()
    }

    #[test]
    fn a_right_issuer_gives_no_finding() {
        assert_eq!(codes(|_| ()), [""; 0]);
        // What could not be read is no finding.
        assert_eq!(codes(|it| it.token = None), [""; 0]);
        assert_eq!(codes(|it| it.issuer.keys = None), [""; 0]);
        assert_eq!(codes(|it| it.issuer.published = None), [""; 0]);
    }

    #[test]
    fn an_unusable_key_is_found_without_the_clusters_key_set() {
        let unusable_key = |it: &mut Observed| {
            it.issuer.keys = None;
            published(it).1.keys[0].usage = Some("enc".to_owned());
        };
        assert_eq!(codes(unusable_key), ["AZWI-T007"]);
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
                |it| it.issuer.discovery.as_mut().unwrap().issuer.push('x'),
                "AZWI-T003",
            ),
            (|it| it.issuer.keys = Some(keys(&[])), "AZWI-T004"),
            (
                |it| {
                    it.issuer.published = Some(Published::Missing {
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
            (
                |it| it.issuer.keys = Some(keys(&["one", "two"])),
                "AZWI-T009",
            ),
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
        let found = codes(|it| it.issuer.url = private.to_owned());
        assert!(found.contains(&"AZWI-T002"), "{found:?}");
    }

    /// The new key is published before it signs, the old one stays after.
    #[test]
    fn a_rotation_is_right_at_each_step() {
        let step = |cluster: &[&str], signing: &str, published_ids: &[&str]| {
            let mut observed = healthy();
            observed.issuer.keys = Some(keys(cluster));
            observed.token.as_mut().unwrap().key_id = signing.to_owned();
            *published(&mut observed).1 = keys(published_ids);
            codes_of(&observed)
        };
        assert_eq!(step(&["one", "two"], "one", &["one"]), ["AZWI-T009"]);
        assert_eq!(step(&["one", "two"], "one", &["one", "two"]), [""; 0]);
        assert_eq!(step(&["one", "two"], "two", &["one", "two"]), [""; 0]);
        assert_eq!(step(&["two"], "two", &["two", "one"]), ["AZWI-T010"]);
        assert_eq!(step(&["two"], "two", &["one"]), ["AZWI-T006", "AZWI-T010"]);
    }
}
