//! The client of Microsoft Entra ID: exchanges a service account token for an access token.
//!
//! `client` sends a request, `reply` reads the answer, `class` classifies its error, `retry` decides when
//! to try again, and `advice` states how to fix the error (law 7).

mod advice;
mod assertion;
mod binding;
mod class;
mod client;
mod egress;
mod metrics;
mod reply;
mod resolver;
mod retry;
mod retry_after;
mod roots;
mod settings;

pub use advice::{Context, explain};
pub use assertion::{Assertion, AssertionError, Audience, Presented};
pub use binding::{Binding, BindingError};
pub use class::Class;
pub use client::{Client, ClientError, Config, body, chain, outside};
pub use egress::{Egress, EgressError};
pub use reply::{Rejection, parse};
pub use roots::{Roots, RootsError};
pub use settings::{Settings, SettingsError};
