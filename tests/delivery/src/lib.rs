//! What an operator does with the product as a whole, on a test node where nothing is installed.

mod certificate;
mod commands;
mod empty;
pub mod peer;
mod release;

pub use certificate::Issued;
pub use commands::{Commands, documented, file, path, shell};
pub use empty::{Node, empty};
pub use release::{helm, install, kinds_of_others, ready, upgrade};
