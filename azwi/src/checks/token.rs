//! The token of one workload, and its issuer. Rows 3, 4 and 14, as far as the cluster shows them.

use super::code::Code;
use super::finding::Finding;
use crate::facts::Facts;
use crate::facts::object::Object;
use crate::facts::token::Token;

/// The first thing that is wrong with the token, or the federated credential that it needs.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let (token, target) = (facts.token.as_ref()?, facts.target.as_ref()?);
    broken(token).or_else(|| Some(needed(facts, token, target)))
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
    if is_private(&token.issuer) {
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
    let keys = token.key_ids.as_ref()?;
    if keys.contains(&token.key_id) {
        return None;
    }
    let cause = format!(
        "the key {} that signed the token is not in the issuer's key set",
        token.key_id
    );
    finding(Code::UnknownKey, cause, "kubectl get --raw /openid/v1/jwks")
}

/// Hosts that only the cluster or its network knows.
fn is_private(issuer: &str) -> bool {
    let Some(rest) = issuer.strip_prefix("https://") else {
        return true;
    };
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_name = host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    let suffixes = [".svc", ".local", ".internal", ".localhost"];
    !is_name || suffixes.iter().any(|it| host.ends_with(it))
}

fn needed(facts: &Facts, token: &Token, target: &Object) -> Finding {
    let account = token.subject.rsplit(':').next().unwrap_or_default();
    let key = (target.namespace.clone(), account.to_owned());
    let accounts = facts.accounts.as_ref();
    let client_id = accounts
        .and_then(|it| Some(it.get(&key)?.client_id()))
        .unwrap_or_default();
    let audience = token
        .audiences
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let cause = format!(
        "identity {client_id} needs a federated credential with issuer {}, subject {} and audience {audience}, to the letter. \
         Whether it has it was not checked",
        token.issuer, token.subject
    );
    let fix = format!(
        "az identity federated-credential create --resource-group <group> --identity-name <identity> --name {namespace}-{account} \
         --issuer '{}' --subject '{}' --audiences '{audience}'",
        token.issuer,
        token.subject,
        namespace = target.namespace
    );
    Finding::new(Code::Needed, target, &cause, Some(fix))
}

const ISSUER_GUIDE: &str = "kubectl get --raw /.well-known/openid-configuration";
