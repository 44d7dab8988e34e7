//! `bare`: the limit that the product is measured beside. A program of its own, so that its memory is
//! that of the barest server too.

use std::process::ExitCode;

use clap::Parser;

use bench::arguments::Bare;
use bench::bare;

fn main() -> ExitCode {
    match bare::serve(&Bare::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error:#}");
            ExitCode::FAILURE
        }
    }
}
