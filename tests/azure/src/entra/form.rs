//! The parameters of a token request and their checks, in the order that Entra reports mistakes.

use http::Method;
use http::header::CONTENT_TYPE;

use super::refusal::Refusal;
use crate::message::Request;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Scopes that MSAL adds to every request. They mean nothing without a user.
const USER_SCOPES: [&str; 3] = ["openid", "profile", "offline_access"];

/// A token request that is complete and well-formed.
#[derive(Debug, PartialEq)]
pub(super) struct TokenRequest<'a> {
    pub(super) client_id: &'a str,
    pub(super) assertion: &'a str,
    /// Everything before the last `/.default`: the resource, as sent.
    pub(super) resource: &'a str,
}

/// A decoded form.
pub(super) struct Form {
    parameters: Vec<(String, String)>,
}

impl Form {
    /// Reads the body as a form unless its content type is another. `@azure/identity` 2.1 sends no
    /// content type.
    pub(super) fn parse(request: &Request) -> Self {
        let is_form = request.headers.get(CONTENT_TYPE).is_none_or(|value| {
            let kind = value.to_str().unwrap_or_default().split(';').next();
            kind.is_some_and(|kind| {
                kind.trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            })
        });
        Self {
            parameters: if is_form { request.form() } else { Vec::new() },
        }
    }

    /// A parameter that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Checks the form of the request, not yet its assertion.
    pub(super) fn token_request(&self, method: &Method) -> Result<TokenRequest<'_>, Refusal> {
        if method != Method::POST {
            return Err(Refusal::Method(method.to_string()));
        }
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in &self.parameters {
            if seen.contains(&name.as_str()) {
                return Err(Refusal::DuplicateParameter(name.clone()));
            }
            seen.push(name);
        }
        match self.get("grant_type") {
            None => return Err(Refusal::MissingParameter("grant_type")),
            Some("client_credentials") => {}
            Some(other) => return Err(Refusal::GrantType(other.to_owned())),
        }
        let client_id = self
            .get("client_id")
            .ok_or(Refusal::MissingParameter("client_id"))?;
        let scope = self.get("scope").ok_or(Refusal::MissingField("scope"))?;
        let assertion = self
            .get("client_assertion")
            .ok_or(Refusal::MissingCredential)?;
        match self.get("client_assertion_type") {
            None => return Err(Refusal::MissingParameter("client_assertion_type")),
            Some(ASSERTION_TYPE) => {}
            Some(other) => return Err(Refusal::AssertionType(other.to_owned())),
        }
        Ok(TokenRequest {
            client_id,
            assertion,
            resource: resource(scope)?,
        })
    }
}

/// The resource of a scope: everything before the last `/.default`, so that a resource keeps a
/// slash at its end (`https://x//.default` is `https://x/`).
fn resource(scope: &str) -> Result<&str, Refusal> {
    let mut scopes = scope
        .split(' ')
        .filter(|one| !one.is_empty() && !USER_SCOPES.contains(one));
    let first = scopes
        .next()
        .ok_or_else(|| Refusal::NotDefaultScope(scope.to_owned()))?;
    let rest: Vec<&str> = scopes.collect();
    let defaults = std::iter::once(&first)
        .chain(&rest)
        .filter(|one| one.ends_with("/.default"))
        .count();
    if defaults == 0 {
        return Err(Refusal::NotDefaultScope(scope.to_owned()));
    }
    if !rest.is_empty() {
        return Err(Refusal::SeveralScopes(scope.to_owned()));
    }
    match first.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(resource),
        _ => Err(Refusal::Scope(scope.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parameters: &[(&str, &str)]) -> Form {
        Form {
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    const GOOD: [(&str, &str); 5] = [
        ("grant_type", "client_credentials"),
        ("client_id", "c"),
        ("scope", "https://vault.azure.net/.default"),
        ("client_assertion", "a.b.c"),
        ("client_assertion_type", ASSERTION_TYPE),
    ];

    #[test]
    fn accepts_a_complete_request() {
        assert_eq!(
            form(&GOOD).token_request(&Method::POST).unwrap(),
            TokenRequest {
                client_id: "c",
                assertion: "a.b.c",
                resource: "https://vault.azure.net",
            }
        );
    }

    #[test]
    fn each_missing_parameter_has_its_error_code() {
        for (missing, code) in [
            ("grant_type", 900_144),
            ("client_id", 900_144),
            ("scope", 90_014),
            ("client_assertion", 7_000_218),
            ("client_assertion_type", 900_144),
        ] {
            let rest: Vec<_> = GOOD
                .into_iter()
                .filter(|(name, _)| *name != missing)
                .collect();
            let refusal = form(&rest).token_request(&Method::POST).unwrap_err();
            assert_eq!(refusal.code(), code, "{missing}");
        }
    }

    #[test]
    fn refuses_other_values() {
        for (name, value, code) in [
            ("grant_type", "password", 70_003),
            ("client_assertion_type", "saml", 90_023),
            ("scope", "User.Read", 1_002_012),
            ("scope", "https://a/.default https://b/.default", 70_011),
            ("scope", "https://a/.default https://a/read", 70_011),
            ("scope", "/.default", 70_011),
            ("scope", "openid profile", 1_002_012),
        ] {
            let changed = GOOD.map(|(key, old)| (key, if key == name { value } else { old }));
            let refusal = form(&changed).token_request(&Method::POST).unwrap_err();
            assert_eq!(refusal.code(), code, "{name}={value}");
        }
        let mut twice = GOOD.to_vec();
        twice.push(("scope", "https://b/.default"));
        let refusal = form(&twice).token_request(&Method::POST).unwrap_err();
        assert_eq!(refusal.code(), 9_000_411);
        let refusal = form(&GOOD).token_request(&Method::GET).unwrap_err();
        assert_eq!(refusal.code(), 900_561);
    }

    proptest::proptest! {
        #[test]
        fn any_resource_comes_back_as_it_was_sent(
            resource in "[!-~]{1,40}",
            extra in proptest::sample::subsequence(USER_SCOPES.to_vec(), 0..=3),
        ) {
            let scope = [vec![format!("{resource}/.default")], extra.iter().map(ToString::to_string).collect()]
                .concat()
                .join(" ");
            proptest::prop_assert_eq!(super::resource(&scope).ok(), Some(resource.as_str()));
        }
    }

    #[test]
    fn the_resource_ends_before_the_last_default() {
        for (scope, expected) in [
            (
                "https://vault.azure.net/.default",
                "https://vault.azure.net",
            ),
            ("https://x//.default", "https://x/"),
            (
                "https://x/.default openid offline_access profile",
                "https://x",
            ),
            ("https://x/.default/.default", "https://x/.default"),
            ("api://a/.default", "api://a"),
        ] {
            assert_eq!(resource(scope).unwrap(), expected, "{scope}");
        }
    }
}
