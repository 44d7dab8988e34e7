//! Parts that every long-running binary needs. They know nothing of pods, tokens or Entra; values that
//! two binaries exchange are in `contract`.
//!
//! `settings` reads a configuration and reports all of its mistakes at once, `flags` reads Go's flag
//! syntax. Every other module is a feature, so that a binary compiles only what it uses:
//!
//! - `logging`: log lines on standard error that never block the program. With it comes `log_rate`, which
//!   limits the lines that a client can cause.
//! - `listener`: one accept loop for HTTP/1.1 with every limit in one value, [`listener::Limits`].
//!   `tls` adds TLS to it.
//! - `shutdown`: signals, and the phases serving, draining and closed.
//! - `readiness`: the conditions of `/readyz`, each a function or a guard that a component holds.
//! - [`termination`]: the termination message of a container.
//! - `arguments`: flags and variables by clap, for [`settings`].
//! - [`version`]: what `--version` prints.
//! - `metrics`: the answer to a scrape, and gauges that are read at the moment of the scrape.

pub mod flags;
#[cfg(feature = "listener")]
pub mod listener;
#[cfg(feature = "logging")]
pub mod log_rate;
#[cfg(feature = "logging")]
pub mod logging;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "readiness")]
pub mod readiness;
pub mod settings;
#[cfg(feature = "shutdown")]
pub mod shutdown;
pub mod termination;
pub mod version;
