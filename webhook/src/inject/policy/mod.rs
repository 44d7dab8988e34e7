//! The operator's settings for all pods.

pub(crate) mod config;
pub(crate) mod label_selector;
pub(crate) mod resources;
pub(crate) mod seccomp;
