//! What a pod and its service account ask for.

pub(crate) mod mistakes;
pub(crate) mod options;
pub(crate) mod resources;
pub(crate) mod skipped;
