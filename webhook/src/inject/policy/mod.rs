//! What the operator decides for all pods.

pub(crate) mod config;
pub(crate) mod resources;
pub(crate) mod seccomp;
