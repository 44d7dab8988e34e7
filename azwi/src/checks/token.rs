//! The token of one workload, and its issuer. Rows 3, 4 and 14, as far as the cluster shows them.

use super::code::Code;
use super::credential::{self, Wanted};
use super::finding::Finding;
use super::{exchange, fix};
use crate::facts::Facts;
use crate::facts::object::Object;
use crate::facts::token::{Published, Token};

/// The first thing that is wrong with the token or its exchange, or the federated credential that it needs.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let (Some(token), Some(target)) = (&facts.token, &facts.target) else {
        return Vec::new();
    };
    if let Some(broken) = broken(token) {
        return vec![broken];
    }
    if let Some(exchanged) = exchange::check(facts) {
        return vec![exchanged];
    }
    // Where Azure's credentials are given, the one that is needed is among them.
    let needed = facts.azure.is_none().then(|| needed(facts, token, target));
    needed.into_iter().collect()
}

/// What no service account's token of this issuer can work with.
pub(super) fn broken(token: &Token) -> Option<Finding> {
    let issuer = Object::new("Issuer", "", &token.issuer);
    let finding = |code, cause: String, fix: &str| {
        Some(Finding::new(code, &issuer, &cause, Some(fix.to_owned())))
    };
    if token.algorithm != "RS256" {
        let cause = format!(
            "the API server signs tokens with {}: Entra accepts RS256 alone",
            token.algorithm
        );
        return finding(Code::Algorithm, cause, ISSUER_GUIDE);
    }
    if token.has_private_issuer() {
        let cause = "the issuer is not public: Entra cannot read its documents".to_owned();
        return finding(
            Code::PrivateIssuer,
            cause,
            "az aks update --resource-group <group> --name <cluster> --enable-oidc-issuer",
        );
    }
    if let Some(document) = token
        .discovery_issuer
        .as_ref()
        .filter(|it| **it != token.issuer)
    {
        let hint = if document.trim_end_matches('/') == token.issuer.trim_end_matches('/') {
            ": they differ by the last slash"
        } else {
            ""
        };
        let cause = format!(
            "the token's issuer is not {document}, which the discovery document names{hint}"
        );
        return finding(Code::OtherIssuer, cause, ISSUER_GUIDE);
    }
    let keys = token.key_ids.as_ref();
    if keys.is_some_and(|it| !it.contains(&token.key_id)) {
        let cause = format!(
            "the key {} that signed the token is not in the issuer's key set",
            token.key_id
        );
        return finding(Code::UnknownKey, cause, fix::READ_KEYS);
    }
    published(token, &issuer)
}

/// The issuer's documents as the world sees them.
fn published(token: &Token, issuer: &Object) -> Option<Finding> {
    let read = Some(fix::read_discovery(&token.issuer));
    let (published, keys_url, keys) = match token.published.as_ref()? {
        Published::Missing { url, reason } => {
            let cause = format!("Entra cannot read {url}: {reason}");
            return Some(Finding::new(Code::NotPublic, issuer, &cause, read));
        }
        Published::Documents {
            issuer,
            keys_url,
            keys,
        } => (issuer, keys_url, keys),
    };
    if *published != token.issuer {
        let cause = format!(
            "the token's issuer is not {published}, which the published discovery document names"
        );
        return Some(Finding::new(Code::OtherIssuer, issuer, &cause, read));
    }
    let Some(key) = keys.iter().find(|it| it.id == token.key_id) else {
        let cause = format!(
            "the key {} that signed the token is not in {keys_url}: publish the API server's key set again",
            token.key_id
        );
        let fix = Some(fix::READ_KEYS.to_owned());
        return Some(Finding::new(Code::OldKeys, issuer, &cause, fix));
    };
    let is_rs256 = key.algorithm.as_deref().is_none_or(|it| it == "RS256");
    let is_to_sign = key.usage.as_deref().is_none_or(|it| it == "sig");
    if key.kind == "RSA" && is_rs256 && is_to_sign {
        return None;
    }
    let cause = format!(
        "the key {} in {keys_url} is not for signatures with RS256, which Entra needs",
        key.id
    );
    let fix = Some(fix::READ_KEYS.to_owned());
    Some(Finding::new(Code::KeyUse, issuer, &cause, fix))
}

fn needed(facts: &Facts, token: &Token, target: &Object) -> Finding {
    let account = token.subject.rsplit(':').next().unwrap_or_default();
    let key = (target.namespace.clone(), account.to_owned());
    let accounts = facts.accounts.as_ref();
    let client_id = accounts
        .and_then(|it| Some(it.get(&key)?.client_id()))
        .unwrap_or_default();
    let wanted = Wanted {
        issuer: &token.issuer,
        subject: token.subject.clone(),
        audience: token.audience(),
    };
    let cause = format!(
        "identity {client_id} needs a federated credential with issuer {}, subject {} and audience {}, to the letter. \
         Whether it has it was not checked: give --credentials or --exchange",
        wanted.issuer, wanted.subject, wanted.audience
    );
    let fix = credential::create(None, client_id, &wanted);
    Finding::new(Code::Needed, target, &cause, Some(fix))
}

const ISSUER_GUIDE: &str = "kubectl get --raw /.well-known/openid-configuration";
