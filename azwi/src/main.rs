//! Starts `azwi`; everything else is in the library. `kubectl azwi` starts it under the name
//! `kubectl-azwi`.

use std::process::ExitCode;

fn main() -> ExitCode {
    azwi::cli::run(std::env::args_os())
}
