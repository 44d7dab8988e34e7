//! The binary of the proxy. The library has the documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    proxy::run(std::env::args_os())
}
