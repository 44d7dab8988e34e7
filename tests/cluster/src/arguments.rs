//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The version of Kubernetes when none is asked for.
const NEWEST: &str = "1.37";

/// A real Kubernetes node for tests and demonstrations.
#[derive(Debug, Parser)]
#[command(name = "cluster", version)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub task: Task,
}

/// The commands. The program calls itself with the hidden ones.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Install and build what the node needs; returns at once when everything is there
    Prepare(Prepare),
    /// Start a node, run a command on it, and end everything
    Run(Run),
    /// Process 1 of the node's namespaces
    #[command(hide = true)]
    Init(Inside),
    /// The node itself
    #[command(hide = true)]
    Node(Inside),
}

/// The arguments of `cluster prepare`.
#[derive(Args, Clone, Debug)]
pub struct Prepare {
    /// The minor version of Kubernetes, such as 1.34; by default the newest
    #[arg(long, value_name = "MINOR", env = "CLUSTER_KUBERNETES", default_value = NEWEST)]
    pub kubernetes: String,
}

/// The arguments of `cluster run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// What is prepared first.
    #[command(flatten)]
    pub prepare: Prepare,

    /// An OCI archive to import, named as its index says; may be repeated
    #[arg(long = "image", value_name = "ARCHIVE")]
    pub images: Vec<PathBuf>,

    /// The emulator of Azure; by default the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    pub azure_emulator: Option<PathBuf>,

    /// Keep the components' logs in this directory; by default they are removed with the node
    #[arg(long, value_name = "DIRECTORY")]
    pub logs: Option<PathBuf>,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// The arguments of the hidden commands: the same, and the name of the run's cgroup.
#[derive(Args, Clone, Debug)]
pub struct Inside {
    /// The cgroup that contains every pod of the run
    #[arg(long)]
    pub cgroup: String,

    /// The arguments of `cluster run`
    #[command(flatten)]
    pub run: Run,
}
