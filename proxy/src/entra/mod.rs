//! Microsoft Entra ID: a service account token goes in, an access token comes out.

mod advice;
mod assertion;
mod binding;
mod class;
mod client;
mod reply;
mod retry;
mod roots;
mod settings;

pub use binding::{Binding, BindingError};
pub use client::{Client, ClientError};
pub use roots::{Roots, RootsError};
pub use settings::{Settings, SettingsError};
