//! The additions to a pod as a value ([`additions`]), and the JSON Patch made from them ([`patch`]).

pub(crate) mod additions;
mod json;
pub(crate) mod manifest;
pub(crate) mod patch;
pub(crate) mod template;
