//! A program's configuration: flags, environment variables, and every mistake in them at once.
//!
//! clap ends at the first value that it cannot read. An operator who has three mistakes would start the
//! program four times, so clap reads no value here: each argument is a [`Setting`], which holds the text
//! and the result of parsing it, and [`Mistakes`] collects the errors. The argument still names its type
//! and its default, once:
//!
//! ```
//! # #[cfg(feature = "arguments")] {
//! use clap::Parser;
//! use service_kit::settings::{self, Mistakes, Setting};
//!
//! #[derive(Parser)]
//! struct Arguments {
//!     #[arg(long, env = "APP_PORT", default_value = "8000")]
//!     port: Setting<u16>,
//!     #[arg(long, env = "APP_NAME")]
//!     name: Option<Setting<String>>,
//! }
//!
//! let variable = |name: &str| (name == "APP_PORT").then(|| "80 000".into());
//! let arguments: Arguments = settings::parse(["app".into()], variable).unwrap();
//! let mut mistakes = Mistakes::default();
//! let port = mistakes.read("--port", arguments.port);
//! let error = mistakes.finish(port).unwrap_err();
//! assert_eq!(error.mistakes(), ["--port=80 000: invalid digit found in string"]);
//! # }
//! ```
//!
//! An empty flag or variable counts as absent.

#[cfg(feature = "arguments")]
mod arguments;

#[cfg(feature = "arguments")]
pub use arguments::{Setting, UsageError, parse};

use std::fmt::Display;

use thiserror::Error;

/// The mistakes that were found so far.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<String>);

/// Every mistake of a configuration. There is at least one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the configuration is wrong:\n  - {}", .0.join("\n  - "))]
pub struct ConfigurationError(Vec<String>);

impl Mistakes {
    /// Adds a mistake, which is a sentence for the operator.
    pub fn add(&mut self, mistake: impl Display) {
        self.0.push(mistake.to_string());
    }

    /// The value, or `None` after its error was added.
    pub fn keep<T, E: Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    /// The value if no mistake was found.
    ///
    /// # Errors
    ///
    /// All mistakes. `value` may be `None` only if there are some.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ConfigurationError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(ConfigurationError(self.0)),
        }
    }
}

impl ConfigurationError {
    /// An error of one mistake.
    #[must_use]
    pub fn new(mistake: String) -> Self {
        Self(vec![mistake])
    }

    /// The mistakes, one sentence each.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }
}
