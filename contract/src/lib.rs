//! Names and [value types](value) that the webhook, proxy-init and the proxy share. Users write and read
//! the names; one program writes a value and another reads it.
//!
//! Names and values are those of Azure/azure-workload-identity 1.6, "upstream" in comments, unless a
//! comment says otherwise. The crate has no runtime and no I/O, so that proxy-init stays small.

pub mod annotation;
pub mod app_service;
pub mod container;
pub mod label;
pub mod log;
pub mod metadata;
pub mod name;
pub mod path;
pub mod sdk;
pub mod service_link;
pub mod terminal;
pub mod token;
pub mod value;
pub mod variable;

/// The version of the binaries, their images and the chart.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Exit code for wrong usage or configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;
