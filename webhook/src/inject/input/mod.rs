//! The inputs of a decision: the pod, its service account and the random seed.

pub(crate) mod account;
pub(crate) mod directory;
pub(crate) mod entries;
pub(crate) mod marker;
pub(crate) mod pod;
mod qos;
pub(crate) mod seed;
pub(crate) mod text;
pub(crate) mod volume;
mod windows;
