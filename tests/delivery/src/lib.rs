//! What the delivery tests share: they install, change and remove the product on a test node where
//! nothing is installed.
//!
//! "Upstream" is Azure/azure-workload-identity, the Go project that this one replaces.

mod certificate;
mod commands;
mod empty;
mod prometheus;
mod registry;
mod release;
pub mod upstream;

pub use certificate::Issued;
pub use commands::{file, path, shell};
pub use e2e::page::{Commands, documented, yaml};
pub use empty::{Node, empty};
pub use prometheus::Prometheus;
pub use registry::Registry;
pub use release::{helm, install, kinds_of_others, ready, upgrade};
