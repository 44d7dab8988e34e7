//! The bodies of IMDS: a token (R4) and an error (R7).

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::api::answer::{self, Answer};
use crate::api::error::ApiError;
use crate::token::Token;

/// The body of the 200: keys in IMDS's order, all values strings (R4).
pub fn token<V>(token: &Token<V>) -> Bytes {
    answer::to_json(&TokenBody {
        access_token: token.access_token.reveal(),
        client_id: &token.key.client_id,
        expires_in: token.expires_in,
        expires_on: token.expires_on,
        ext_expires_in: token.ext_expires_in,
        not_before: token.not_before,
        resource: &token.key.resource,
        token_type: "Bearer",
    })
}

/// The answer with an error.
#[must_use]
pub fn error(error: &ApiError) -> Answer {
    let body = ErrorBody {
        error: &error.code,
        error_description: &error.description,
    };
    answer::error(error.status, &body, error.retry_after)
}

#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    client_id: &'a str,
    #[serde(serialize_with = "as_string")]
    expires_in: u64,
    #[serde(serialize_with = "as_string")]
    expires_on: u64,
    #[serde(serialize_with = "as_string")]
    ext_expires_in: u64,
    #[serde(serialize_with = "as_string")]
    not_before: u64,
    resource: &'a str,
    token_type: &'a str,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

fn as_string<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing;

    #[test]
    fn r4_the_body_is_that_of_imds() {
        // Byte for byte: Microsoft's ODBC driver for SQL Server searches the text for `"access_token":"`, without a space.
        let wanted = r#"{"access_token":"eyJ0eXAi\"OiJKV","client_id":"da95e381-d7ab-4fdc-8047-2457909c723b","expires_in":"86386","expires_on":"1605238723","ext_expires_in":"86399","not_before":"1605152024","resource":"https://management.azure.com/","token_type":"Bearer"}"#;
        let value = testing::token("eyJ0eXAi\"OiJKV", 1_605_238_723);
        assert_eq!(token(&value), wanted);
    }
}
