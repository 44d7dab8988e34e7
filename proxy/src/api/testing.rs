//! A token for the unit tests of the bodies.

use std::sync::Arc;

use super::view::View;
use crate::token::{Key, Token};

pub(super) fn token(secret: &str, expires_on: u64) -> Token<View> {
    Token {
        key: Arc::new(Key {
            client_id: "da95e381-d7ab-4fdc-8047-2457909c723b".into(),
            resource: "https://management.azure.com/".into(),
            claims: None,
        }),
        access_token: secret.to_owned().into(),
        expires_in: 86_386,
        expires_on,
        ext_expires_in: 86_399,
        not_before: expires_on - 86_699,
        view: View::default(),
    }
}
