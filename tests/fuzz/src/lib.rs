//! Shared by the webhook's targets.

#[path = "../../../webhook/tests/webhook/operator.rs"]
mod operator;

use webhook::inject::Config;

/// A client id.
pub const CLIENT_ID: &str = operator::CLIENT_ID;

/// The default settings.
pub fn config(native: bool) -> Config {
    operator::config(native)
}
