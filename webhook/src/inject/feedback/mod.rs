//! Sentences for the user: why a pod is denied, and warnings for one that is admitted.

pub(crate) mod denial;
pub(crate) mod warnings;
