//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures the proxy or the webhook in relation to the limit of the machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub task: Task,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Measure the proxy
    Proxy(Proxy),
    /// Measure the webhook, on a Kubernetes node
    Webhook(Webhook),
    /// Measure the restart of thousands of proxies at once
    Restart(Restart),
    /// Measure each stage of a review alone
    Stages,
}

/// The arguments of `bench proxy`.
#[derive(Args, Debug)]
pub struct Proxy {
    /// The proxy to measure
    #[arg(long, value_name = "PROGRAM", default_value = "dist/proxy")]
    pub proxy: PathBuf,

    #[command(flatten)]
    pub(crate) turns: Turns,
}

/// The arguments of `bench webhook`.
#[derive(Args, Debug)]
pub struct Webhook {
    /// The webhook to measure
    #[arg(long, value_name = "PROGRAM", default_value = "dist/webhook")]
    pub webhook: PathBuf,

    /// How many annotated service accounts the cluster gets
    #[arg(long, value_name = "COUNT", default_value_t = 50_000)]
    pub accounts: u32,

    /// Measure only reviews of this length: 2000, 4000, 20000 or 200000
    #[arg(long, value_name = "BYTES")]
    pub length: Option<usize>,

    #[command(flatten)]
    pub(crate) turns: Turns,
}

/// The arguments of `bench restart`.
#[derive(Args, Debug)]
pub struct Restart {
    /// The proxy to measure
    #[arg(long, value_name = "PROGRAM", default_value = "dist/proxy")]
    pub proxy: PathBuf,

    /// How many proxies start
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    pub proxies: u16,

    /// How many exchanges Entra grants in a second
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u32,
}

/// How long to measure, and a third server.
#[derive(Args, Debug)]
pub struct Turns {
    /// Another server to measure, such as upstream's: its command line, where {port} stands for the
    /// port to listen on; for the webhook also {health-port}, and {certificates} for a directory with
    /// tls.crt and tls.key
    #[arg(long, value_name = "COMMAND LINE")]
    pub upstream: Option<String>,

    /// How often each server is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..))]
    pub rounds: u32,

    /// How long each measurement lasts, in seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub seconds: u32,
}

/// A minimal server that answers the bytes of a file, until it is ended.
#[derive(Debug, Parser)]
#[command(name = "bare", version)]
pub struct Bare {
    /// The port to listen on
    #[arg(long)]
    pub port: u16,

    /// The file with the answer, from the status line to the body's last byte
    #[arg(long)]
    pub answer: PathBuf,

    /// Answer over TLS, with tls.crt and tls.key of this directory
    #[arg(long)]
    pub certificates: Option<PathBuf>,
}
