//! The proxy: see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxy::run(std::env::args_os())
}
