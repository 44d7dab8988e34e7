//! The plan as a table for people, as JSON for programs, as commands and as files.

pub mod commands;
pub mod files;
pub mod json;
pub mod manifest;
pub mod status;
pub mod text;
mod yaml;

pub use yaml::yaml;
