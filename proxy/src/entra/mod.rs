//! Microsoft Entra ID: a service account token goes in, an access token comes out.

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

pub use assertion::{Assertion, AssertionError, Audience, Presented};
pub use binding::{Binding, BindingError};
pub use class::Class;
pub use client::{Client, ClientError, Config};
pub use egress::{Egress, EgressError};
pub use reply::{Rejection, parse};
pub use roots::{Roots, RootsError};
pub use settings::{Settings, SettingsError};
