//! `cluster`: a real Kubernetes node for one command.

use std::process::ExitCode;

use clap::Parser;

use cluster::arguments::{Arguments, Task};
use cluster::{init, node, prepare, run};

/// The exit code when the node failed, not the command.
const NODE_FAILED: u8 = 125;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Prepare(what) => prepare::prepare(&what.kubernetes).map(|_| ExitCode::SUCCESS),
        Task::Run(run) => run::run(&run),
        Task::Init(inside) => init::init(&inside),
        Task::Node(inside) => node::node(inside),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("cluster: {error:#}");
        ExitCode::from(NODE_FAILED)
    })
}
