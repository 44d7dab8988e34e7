//! The sidecar: answers as the Azure Instance Metadata Service (IMDS) does, with Microsoft Entra
//! Workload ID tokens.
//!
//! `imds` and `app_service` are the wire contracts and `token` the cache; none does network I/O.
//! `entra` gets tokens, `relay` passes the rest on, `service` joins them, `server` holds
//! connections, and `app` puts everything together.

pub mod app;
pub mod app_service;
pub mod cli;
pub mod config;
pub mod entra;
pub mod imds;
pub mod metrics;
pub mod probe;
pub mod redact;
pub mod relay;
pub mod server;
pub mod service;
mod signals;
pub mod token;
pub mod watchdog;

use std::process::ExitCode;
use std::time::Duration;

use cli::Command;
use config::Config;
use tracing::error;

/// Does what the command line asks for.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    match Command::parse(args, |name| std::env::var_os(name)) {
        Ok(Command::Probe { port, timeout }) => match probe::probe(port, timeout) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Ok(Command::Serve(config)) => serve(*config),
        Err(error) => error.report(),
    }
}

fn serve(config: Config) -> ExitCode {
    service_kit::logging::start(
        config.log_level,
        config.log_format,
        env!("CARGO_CRATE_NAME"),
    );
    // A core dump would hold tokens.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        error!(%error, "core dumps cannot be turned off");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DNS_THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve_until_signalled(config)),
        Err(error) => {
            error!(%error, "the runtime cannot be started");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

async fn serve_until_signalled(config: Config) -> ExitCode {
    let shutdown = config.shutdown;
    let mut signals = match signals::Signals::take() {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "signals cannot be handled");
            return ExitCode::from(EXIT_SOFTWARE);
        }
    };
    let watched = watchdog::start(PATIENCE, || {
        error!(
            "nothing has run for {} s: ending, to be started anew",
            3 * PATIENCE.as_secs()
        );
        std::process::exit(EXIT_SOFTWARE.into());
    });
    if let Err(error) = watched {
        error!(%error, "no thread can be started");
        return ExitCode::from(EXIT_SOFTWARE);
    }
    match app::bind(config).await {
        Ok(bound) => {
            bound.run(signals.end(shutdown)).await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// An internal failure (`EX_SOFTWARE` of sysexits.h).
const EXIT_SOFTWARE: u8 = 70;

/// How often the runtime must run something. A third of what it may hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads for name resolution, which blocks. One name is resolved, once in a while.
const DNS_THREADS: usize = 2;
