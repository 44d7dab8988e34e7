//! Checks whether an assertion is a credential of an application.

use super::BINDING_AUDIENCE;
use super::refusal::Refusal;
use super::token::Route;
use crate::jwt::{Jwt, PublicKey};
use crate::model::Application;

/// How far a clock may be off, in seconds.
const SKEW_SECONDS: i64 = 300;

/// The claims of an assertion that is not verified yet.
#[derive(Debug, PartialEq)]
pub(super) struct Presented<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) audience: &'a str,
    pub(super) key_id: &'a str,
}

/// Checks the header, and that the required claims are there.
pub(super) fn read<'a>(jwt: &'a Jwt<'_>) -> Result<Presented<'a>, Refusal> {
    let header = |name: &str| jwt.header.get(name).and_then(|value| value.as_str());
    match header("alg") {
        Some("RS256") => {}
        other => return Err(Refusal::Algorithm(other.unwrap_or_default().to_owned())),
    }
    if header("typ").is_some_and(|typ| typ != "JWT" && typ != "http://openid.net/specs/jwt/1.0") {
        return Err(Refusal::HeaderType);
    }
    let key_id = header("kid").ok_or(Refusal::NoKeyId)?;
    let audiences = jwt.audiences();
    Ok(Presented {
        issuer: jwt.text("iss").ok_or(Refusal::MissingField("iss"))?,
        subject: jwt.text("sub").ok_or(Refusal::MissingField("sub"))?,
        // A token for several audiences could be replayed by one against another.
        audience: match audiences.as_slice() {
            [one] => one,
            [] => return Err(Refusal::MissingField("aud")),
            _ => return Err(Refusal::Audience(audiences.join(", "))),
        },
        key_id,
    })
}

/// Finds the federated identity credential, comparing case-sensitively.
pub(super) fn match_credential(
    presented: &Presented<'_>,
    application: &Application,
    route: Route,
) -> Result<(), Refusal> {
    let credentials = &application.federated_credentials;
    if credentials.is_empty() {
        return Err(Refusal::NoCredential {
            issuer: presented.issuer.to_owned(),
            subject: presented.subject.to_owned(),
            audience: presented.audience.to_owned(),
        });
    }
    let of_issuer: Vec<_> = credentials
        .iter()
        .filter(|credential| credential.issuer == presented.issuer)
        .collect();
    if of_issuer.is_empty() {
        return Err(Refusal::Issuer(presented.issuer.to_owned()));
    }
    let of_subject: Vec<_> = of_issuer
        .iter()
        .filter(|credential| credential.subject == presented.subject)
        .collect();
    if of_subject.is_empty() {
        let subject = presented.subject.to_owned();
        let differs_in_case = of_issuer
            .iter()
            .any(|credential| credential.subject.eq_ignore_ascii_case(&subject));
        return Err(if differs_in_case {
            Refusal::SubjectCase(subject)
        } else {
            Refusal::Subject(subject)
        });
    }
    let is_binding = presented.audience == BINDING_AUDIENCE;
    let audience_matches = of_subject.iter().any(|credential| {
        credential
            .audiences
            .iter()
            .any(|audience| audience == presented.audience)
    });
    if audience_matches && is_binding == (route == Route::TokenProxy) {
        Ok(())
    } else {
        Err(Refusal::Audience(presented.audience.to_owned()))
    }
}

/// Checks the signature with the issuer's key of the token's key id.
pub(super) fn verify(
    jwt: &Jwt<'_>,
    presented: &Presented<'_>,
    key: Option<&PublicKey>,
) -> Result<(), Refusal> {
    let key = key.ok_or_else(|| Refusal::KeyNotFound(presented.key_id.to_owned()))?;
    if key.verifies(jwt) {
        Ok(())
    } else {
        Err(Refusal::Signature(presented.key_id.to_owned()))
    }
}

/// Checks that the assertion is valid now, give or take five minutes. One without `exp` has
/// expired; one that ends before it begins is never valid.
pub(super) fn check_time(jwt: &Jwt<'_>, now: i64) -> Result<(), Refusal> {
    let from = jwt.time("nbf").unwrap_or(0);
    let until = jwt.time("exp").unwrap_or(0);
    if from <= now + SKEW_SECONDS && now < until + SKEW_SECONDS && from < until {
        Ok(())
    } else {
        Err(Refusal::Time { now, from, until })
    }
}
