//! What an issuer publishes: its public keys, and the two documents that Entra reads.

mod key;
pub mod publish;

pub use key::{KeyError, PublicKey, read_keys};
