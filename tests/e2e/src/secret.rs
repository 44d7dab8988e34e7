//! Finds secrets in text: tokens, assertions, private keys.

use azure_emulator::Jwt;

/// Who wrote a text, which decides what it may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The product, or a part of the cluster: it must contain no token.
    Product,
    /// A test's application: it may print access tokens, but no assertion.
    Application,
}

/// Finds a secret in a line, and returns it shortened for a message. `known` are further secrets,
/// compared literally.
pub fn find_secret(line: &str, writer: Writer, known: &[String]) -> Option<String> {
    if line.contains("PRIVATE KEY-----") {
        return Some("a private key".into());
    }
    if let Some(secret) = known.iter().find(|secret| line.contains(secret.as_str())) {
        return Some(format!("the secret {}", shortened(secret)));
    }
    let mut tokens = tokens(line);
    tokens
        .find(|token| writer == Writer::Product || !is_access_token(token))
        .map(|token| format!("the token {}", shortened(token)))
}

/// Whether a line shows an access token.
pub fn shows_access_token(line: &str) -> bool {
    tokens(line).any(is_access_token)
}

/// Everything that looks like a JSON web token: each starts with `{"` in base64.
fn tokens(line: &str) -> impl Iterator<Item = &str> {
    let starts = line.match_indices("eyJ").map(|(start, _)| start);
    starts.filter_map(|start| {
        let (before, rest) = line.split_at(start);
        let end = rest.find(|c| !is_of_token(c)).unwrap_or(rest.len());
        // Shorter text is no header. The claims are found with their header, not by themselves. JSON may
        // have escaped the white space before the token as two characters.
        let is_inside = before.ends_with(is_of_token)
            && !["\\n", "\\r", "\\t"]
                .iter()
                .any(|space| before.ends_with(space));
        let token = &rest[..end];
        (end > 16 && !is_inside && !token.starts_with(PAGE)).then_some(token)
    })
}

/// How an API server's `continue` begins, which is in the URL of a list's next page: `{"v":"meta.k8s.io/`.
const PAGE: &str = "eyJ2IjoibWV0YS5rOHMuaW8v";

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c)
}

fn is_access_token(token: &str) -> bool {
    let issuer = Jwt::parse(token).map(|jwt| jwt.claims["iss"].clone());
    issuer.is_ok_and(|issuer| {
        issuer
            .as_str()
            .is_some_and(|issuer| issuer.starts_with("https://sts.windows.net/"))
    })
}

fn shortened(secret: &str) -> String {
    format!("{}…", secret.chars().take(8).collect::<String>())
}

#[cfg(test)]
mod tests {
    use azure_emulator::SigningKey;
    use serde_json::json;

    use super::*;

    fn found(line: &str, writer: Writer) -> Option<String> {
        find_secret(line, writer, &["MIIEvQIBADANBgkqh".into()])
    }

    #[test]
    fn finds_and_shortens_secrets() {
        let key = SigningKey::generate().unwrap();
        let sign = |issuer: &str| key.sign(&json!({ "iss": issuer })).unwrap();
        let access = sign("https://sts.windows.net/t/");
        let assertion = sign(crate::ISSUER);
        for (secret, in_application) in [
            (access.as_str(), false),
            (assertion.as_str(), true),
            (&assertion[..30], true),
            ("-----BEGIN EC PRIVATE KEY-----", true),
            ("MIIEvQIBADANBgkqh", true),
        ] {
            for line in [
                secret.to_owned(),
                format!("a=\"{secret}\"}}"),
                format!("\\n{secret} b"),
            ] {
                let message = found(&line, Writer::Product).expect(&line);
                assert!(!message.contains(secret), "{message}");
                assert_eq!(
                    found(&line, Writer::Application).is_some(),
                    in_application,
                    "{line}"
                );
            }
        }
        assert!(shows_access_token(&format!(
            "{{\"access_token\":\"{access}\"}}"
        )));
        assert!(!shows_access_token(&assertion));
    }

    #[test]
    fn finds_nothing_in_other_text() {
        for line in [
            "heyJoe",
            "eyJ",
            "-----BEGIN CERTIFICATE-----",
            "MIIBiTCCAS+gAwIBAgI",
            "keyJ0123456789012345678",
            "/api/v1/pods?limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0",
        ] {
            assert_eq!(found(line, Writer::Product), None, "{line}");
        }
    }
}
