//! The proxy: a sidecar that answers as the Azure Instance Metadata Service (IMDS) does, with Microsoft
//! Entra Workload ID tokens.
//!
//! A compatible replacement for the proxy of Azure/azure-workload-identity, called "upstream" in this crate.
//!
//! # Map
//!
//! Each module knows only those below it.
//!
//! | module | subject |
//! |---|---|
//! | [`app`] | makes the components, opens the ports, serves until a signal |
//! | [`cli`] | flags and environment variables |
//! | [`config`] | the settings of the components, checked |
//! | [`api`] | routes, statuses and bodies: [`api::imds`], [`api::app_service`], [`api::readiness`] |
//! | [`entra`] | the exchange of a service account token for an Entra token |
//! | [`relay`] | other requests, passed on to the real IMDS |
//! | [`token`] | tokens in memory: when to serve, replace or wait |
//! | [`identity`] | which client id a request means |
//! | [`startup`] | tokens that are there before the application starts, and the check of the identity |
//!
//! [`capacity`] has the numbers of what happens at once. Connections, signals, the log and the
//! limit on the rate of its lines are in `service-kit`. `metrics` answers scrapes, and [`probe`] is
//! the client of `/readyz` for kubelet.
//!
//! # A token request
//!
//! The listener of `service-kit` reads the request, `api` decides by path and headers and finds the
//! key of the query (identity and resource), and `token` has the token in memory, with the rendered
//! body beside it.
//! Without a token in memory, one exchange through `entra` serves all requests that wait for the key.
//!
//! # Where each promise is kept
//!
//! | promise | where |
//! |---|---|
//! | the node's identity is never relayed (law 1, R14, D9) | `api::imds::place`, called before `relay` |
//! | answers as IMDS is documented, JSON with a Content-Length (law 3, R1 to R16) | `api::imds`; for bytes that are not a request, `api::Api::refuse` |
//! | a token in memory costs no exchange, no rendering and no log line (law 4) | `token::Tokens::peek`, `api::View` |
//! | a valid token is served until it expires, one exchange for each key (law 5, R9) | `token` |
//! | an error states how to fix it (law 7) | `entra::advice` |
//! | no secret in a log line, metric, error or `Debug` (law 8) | `token::AccessToken`, `entra::Assertion`, `redact` |
//! | statuses that SDKs understand (R8) | `api::error` |

pub mod api;
pub mod app;
pub mod capacity;
pub mod cli;
pub mod config;
pub mod entra;
mod file;
pub mod identity;
pub mod metrics;
pub mod probe;
mod redact;
pub mod relay;
pub mod startup;
pub mod token;
mod watchdog;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cli::Command;
use config::{Config, Shutdown};
use service_kit::shutdown::Signals;
use service_kit::termination;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

/// Runs the command of `args` and returns the exit code.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    match Command::parse(args, |name| std::env::var_os(name)) {
        Ok(Command::Probe { port, timeout }) => match probe::probe(port, timeout) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                probe::report(&error, Path::new(termination::LOG));
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
    // Law 8: a core dump would contain tokens.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        error!(%error, "cannot turn off core dumps");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DNS_THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve_until_signalled(config)),
        Err(error) => {
            error!(%error, "cannot start the runtime");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

async fn serve_until_signalled(config: Config) -> ExitCode {
    let shutdown = config.shutdown;
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "cannot install signal handlers");
            return ExitCode::from(EXIT_SOFTWARE);
        }
    };
    let watched = watchdog::start(WATCHDOG_INTERVAL, || {
        error!(
            "the runtime hung for {} s; exiting so that kubelet restarts the container",
            3 * WATCHDOG_INTERVAL.as_secs()
        );
        std::process::exit(EXIT_SOFTWARE.into());
    });
    if let Err(error) = watched {
        error!(%error, "cannot start the watchdog thread");
        return ExitCode::from(EXIT_SOFTWARE);
    }
    match app::build(config).await {
        Ok(bound) => {
            let (requests, quit) = (bound.requests(), bound.quit());
            let end = async {
                tokio::select! {
                    () = end(signals, shutdown, requests) => {}
                    () = quit => info!("a container of the pod sent POST /quitquitquit: ending"),
                }
            };
            match bound.run(end).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    error!(error = error.for_log(), "ending");
                    termination::write(Path::new(termination::LOG), &format!("{error}\n"));
                    ExitCode::from(EXIT_UNVERIFIED)
                }
            }
        }
        Err(error) => {
            error!(%error, "cannot start");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Waits for the first signal. When lingering, also until no request has come for some seconds, or for the
/// second signal.
async fn end(mut signals: Signals, shutdown: Shutdown, requests: impl Fn() -> Option<u64>) {
    let mut signal = signals.next().await;
    if let Shutdown::Linger(seconds) = shutdown {
        info!(
            signal,
            "serving until no request has come for {seconds} s, or a second signal arrives"
        );
        tokio::select! {
            () = quiet(Duration::from_secs(seconds.get().into()), requests) => {
                info!("no request has come for {seconds} s: ending");
                return;
            }
            again = signals.next() => signal = again,
        }
    }
    info!(signal, "ending");
}

/// Waits until no request has been under way for so long. `requests` counts those that have ended, `None` while
/// one is under way.
async fn quiet(time: Duration, requests: impl Fn() -> Option<u64>) {
    let mut seen = requests();
    let mut since = Instant::now();
    while since.elapsed() < time {
        sleep(QUIET_INTERVAL.min(time)).await;
        let now = requests();
        if now.is_none() || now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}

/// How often requests are counted while the proxy lingers.
const QUIET_INTERVAL: Duration = Duration::from_millis(250);

/// `EX_SOFTWARE` of sysexits.h: an internal error.
const EXIT_SOFTWARE: u8 = 70;

/// `EX_NOPERM` of sysexits.h: Entra gave no token to a pod that does not start without one.
const EXIT_UNVERIFIED: u8 = 77;

/// A third of the time that the runtime may hang.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(10);

/// Threads for name resolution, which blocks. One name is resolved at a time, rarely.
const DNS_THREADS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lingers_for_some_seconds_after_the_last_request() {
        let begin = Instant::now();
        let time = Duration::from_secs(5);
        quiet(time, || Some(7)).await;
        assert_eq!(begin.elapsed(), time);

        // One request is under way for 8 s, and others end until 20 s have passed.
        let begin = Instant::now();
        let requests = || match begin.elapsed().as_secs() {
            0..8 => None,
            seconds => Some(seconds.min(20)),
        };
        quiet(time, requests).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(25));
    }
}
