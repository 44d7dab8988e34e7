//! `bench`: measures the proxy or the webhook in relation to the limit of the machine.

use std::process::ExitCode;

use clap::Parser;

use bench::arguments::{Arguments, Task};
use bench::{proxy, restart, stages, webhook};

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Proxy(arguments) => proxy::run(&arguments),
        Task::Webhook(arguments) => webhook::run(&arguments),
        Task::Restart(arguments) => restart::run(&arguments),
        Task::Stages => stages::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
