//! What the webhook's targets share.

#[path = "../../../webhook/tests/webhook/operator.rs"]
mod operator;

use webhook::inject::Config;

/// A client id.
pub const CLIENT_ID: &str = operator::CLIENT_ID;

/// The settings of an operator who changed nothing.
pub fn config(native: bool) -> Config {
    operator::config(native)
}
