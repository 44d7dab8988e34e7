//! Tokens in memory: when to serve, when to replace, when to ask. Where they come from is the
//! caller's: see [`Exchange`].

mod clock;
mod entry;
mod granted;
mod issued;
mod refresh;
mod store;

pub use clock::{Clock, Now, SystemClock};
pub use granted::{Failure, FailureKind, Granted};
pub use store::{Exchange, Key, Served, Source, Tokens};
