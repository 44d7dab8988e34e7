//! Reads the answers of the token endpoint.

use azure_emulator::Jwt;
use serde_json::Value;

/// The claims of the access token in an answer of the token endpoint.
///
/// # Panics
///
/// When the answer has none.
pub fn claims(answer: &str) -> Value {
    let answer: Value = serde_json::from_str(answer)
        .unwrap_or_else(|error| panic!("the answer is no JSON ({error}): {answer}"));
    let token = answer["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("no access token in {answer}"));
    Jwt::parse(token).expect("the access token is a JWT").claims
}
