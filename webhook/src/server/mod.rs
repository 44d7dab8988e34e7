//! The listeners: admission over TLS; health and metrics in the clear, each on a port of its own.

pub mod admission;
pub mod connections;
pub mod operations;
pub mod phase;
pub mod tls;
