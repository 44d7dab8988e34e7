//! The token store: when to serve a token from memory, when to replace it, when to wait for a new one.
//!
//! It keeps laws 4 and 5: a token in memory costs no exchange and no wait, and a valid token is served
//! until it expires, whatever Entra does. An [`Exchange`] gets the tokens. How a token is written into
//! an answer is the caller's concern: a [`Token`] is a plain value with a slot for the caller's own
//! rendering.

mod clock;
mod entry;
mod exchange;
mod issued;
mod metrics;
mod refresh;
mod store;
mod value;

pub use clock::{Clock, Now, SystemClock};
pub use exchange::{BUDGET, Exchange, ExchangeError, ExchangeErrorKind, Granted};
pub use store::{MAX_QUEUE, Served, Source, Tokens};
pub use value::{AccessToken, Key, Token, Wanted};
