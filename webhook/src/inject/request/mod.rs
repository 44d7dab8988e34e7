//! The options that a pod and its service account request.

pub(crate) mod mistakes;
pub(crate) mod options;
pub(crate) mod resources;
pub(crate) mod skipped;
