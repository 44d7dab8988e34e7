//! What a long-running program needs besides its own subject. It knows nothing of pods, tokens or
//! Entra; values that two programs exchange are in `contract`.

pub mod flags;
#[cfg(feature = "logging")]
pub mod logging;
pub mod settings;
