//! What the tests of several crates share. It knows none of the product's binaries, so that every
//! crate may use it: those under `tests/`, and the tests of webhook and proxy as a dev-dependency.
//!
//! - [`certificate`] makes authorities and certificates.
//! - [`poll`] waits for a condition, and reports what it saw last when the deadline passes.
//! - [`kubectl`] runs the real kubectl on the test node.
//! - [`process`] reads what a process uses, and the end of its log.
//! - [`program`] starts a program under test and waits for lines of its log.
//!
//! The fake Entra is not here: it is `azure-emulator`, used as a library.

pub mod certificate;
pub mod kubectl;
pub mod poll;
pub mod process;
pub mod program;
