//! `bare`: the minimal server that the product is compared with. It is a separate program, so that its
//! memory can be compared, too.

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
