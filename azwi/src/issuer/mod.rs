//! The issuer of the cluster's tokens: its keys, and the two documents that Entra reads.

pub mod check;
mod documents;
pub mod fetch;
mod key;
mod key_set;
pub mod publish;
pub mod read;

pub use documents::{DISCOVERY_PATH, Discovery, KEYS_PATH, is_public, url};
pub use key::{KeyError, PublicKey, read_keys};
pub use key_set::{Key, KeySet};
