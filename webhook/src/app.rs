//! Puts the parts together: [`bind`] opens the ports, [`Bound::run`] serves until the process ends.
//!
//! On SIGTERM the webhook becomes unready and asks clients to close their connections with each answer, but
//! keeps serving: API servers use their open connections until they learn that this replica is leaving, and
//! they do not retry a review (kubernetes#127335).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use service_kit::listener::{self, BodyRate, Limits, Listener, Protocol};
use service_kit::readiness::Readiness;
use service_kit::shutdown::{Control, Phase, Shutdown, Signals};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info};

use crate::accounts::{self, Accounts};
use crate::admission::metrics::Metrics;
use crate::admission::{Admission, BODY_TIMEOUT, handler};
use crate::api_server;
use crate::certificate::{Serving, files, keeper, tls};
use crate::http::Routes;
use crate::inject::Config;
use crate::operations;
use crate::proxy_ca::{self, ProxyCa};
use crate::settings::{Certificates, Settings};
use crate::version::{self, NativeSidecar};

/// Runs the webhook until a signal ends it.
///
/// # Errors
///
/// When it cannot start: a port is taken, no API server is configured, a file is missing, or a
/// [`ConfigurationError`](service_kit::settings::ConfigurationError).
pub fn run(settings: Settings) -> anyhow::Result<()> {
    // A core dump would hold the certificate authority's key.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        error!(%error, "cannot turn off core dumps");
    }
    keep_free_memory();
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let mut runtime = if cores == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = runtime
        .worker_threads(cores.min(MAX_THREADS))
        .enable_all()
        .build();
    runtime
        .context("cannot start threads")?
        .block_on(async { bind(settings).await?.run().await })
}

/// Makes the C library keep up to 2 MiB of free memory. By default it returns more than 128 KiB at the
/// end of the heap to the kernel, which concurrent reviews would allocate again at once. After a larger
/// block was freed, it keeps twice that block's size (mallopt(3), M_MMAP_THRESHOLD).
fn keep_free_memory() {
    const HALF: usize = 1024 * 1024;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HALF)));
}

/// The webhook with its ports open.
pub struct Bound {
    /// The port of reviews.
    pub admission: SocketAddr,
    /// The port of `/healthz` and `/readyz`.
    pub health: SocketAddr,
    /// The port of `/metrics`.
    pub metrics: Option<SocketAddr>,
    admission_limits: Limits,
    certificates: Certificates,
    client: Client,
    config: Config,
    metrics_by_namespace: bool,
    namespace: String,
    native_sidecar: NativeSidecar,
    proxy_ca: Option<(PathBuf, ProxyCa)>,
    serving: Arc<Serving>,
    signals: Signals,
    sockets: Sockets,
    tls: Arc<ServerConfig>,
}

struct Sockets {
    admission: TcpListener,
    health: TcpListener,
    metrics: Option<TcpListener>,
}

/// Opens the ports and checks everything that can be checked. Requests are not answered yet.
///
/// # Errors
///
/// When the webhook cannot start: a port is taken, no API server is configured, a file is missing.
pub async fn bind(settings: Settings) -> anyhow::Result<Bound> {
    let Settings {
        certificates,
        mut config,
        health_addr,
        kubeconfig,
        log_format: _,
        log_level: _,
        max_connections,
        metrics_addr,
        metrics_by_namespace,
        namespace,
        native_sidecar,
        port,
        proxy_ca_file,
        tls_min_version,
    } = settings;
    info!(version = contract::VERSION, "starting the webhook");
    let signals = Signals::take().context("cannot receive signals")?;
    let (admission_socket, admission) = listen("admission", &format!(":{port}")).await?;
    let (health_socket, health) = listen("health", &health_addr).await?;
    let (metrics_socket, metrics) = match &metrics_addr {
        Some(address) => Some(listen("metrics", address).await?).unzip(),
        None => (None, None),
    };
    let client_config = client_config(kubeconfig.as_deref()).await?;
    let client = api_server::client(client_config, api_server::USER_AGENT)
        .context("cannot use the API server's settings")?;
    let proxy_ca = match proxy_ca_file {
        Some(path) => {
            let ca = ProxyCa::read(&path)?;
            ca.apply(&mut config);
            Some((path, ca))
        }
        None => None,
    };
    let serving = Arc::new(Serving::default());
    Ok(Bound {
        admission,
        health,
        metrics,
        admission_limits: admission_limits(max_connections),
        certificates,
        client,
        config,
        metrics_by_namespace,
        namespace,
        native_sidecar,
        proxy_ca,
        tls: tls::config(tls_min_version, Arc::clone(&serving) as _)?,
        serving,
        signals,
        sockets: Sockets {
            admission: admission_socket,
            health: health_socket,
            metrics: metrics_socket,
        },
    })
}

/// The API server's address and credentials: the flag's, else those of the environment.
async fn client_config(kubeconfig: Option<&Path>) -> anyhow::Result<kube::Config> {
    let Some(file) = kubeconfig else {
        let found = kube::Config::infer().await;
        return found.context("no API server is configured: run in a cluster, or set KUBECONFIG");
    };
    let failed = || format!("cannot use --kubeconfig={}", file.display());
    let kubeconfig = Kubeconfig::read_from(file).with_context(failed)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.with_context(failed)
}

async fn listen(purpose: &str, address: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let failed = || format!("cannot listen on {address} for {purpose}");
    let socket = listener::bind(address).await.with_context(failed)?;
    let address = socket.local_addr().with_context(failed)?;
    info!(purpose, %address, "listening");
    Ok((socket, address))
}

/// One address may hold nearly all connections: all API servers may come from one, where a proxy or a
/// NAT is in front of the nodes. The rest is a reserve for other addresses.
fn admission_limits(max_connections: u32) -> Limits {
    let connections = max_connections as usize;
    let reserve = (connections / 4).min(MAX_RESERVE);
    Limits {
        connections,
        connections_per_address: Some((connections - reserve).max(1)),
        body: BodyRate {
            grace: BODY_TIMEOUT,
            ..Limits::DEFAULT.body
        },
        ..Limits::DEFAULT
    }
}

impl Bound {
    /// Serves until a signal ends the process.
    ///
    /// # Errors
    ///
    /// A [`ConfigurationError`](service_kit::settings::ConfigurationError) for settings that this API server
    /// cannot carry out.
    pub async fn run(self) -> anyhow::Result<()> {
        let control = Control::default();
        let mut shutdown = control.shutdown();
        let ending = tokio::spawn(end(self.signals, control));
        let accounts = Arc::new(Accounts::new(self.client.clone()));
        let mut registry = Registry::default();
        let build = Info::new([("version", contract::VERSION)]);
        registry.register("azwi_build", "The version of the webhook", build);
        let metrics = Metrics::register(&mut registry, self.metrics_by_namespace);
        accounts.register(&mut registry);
        self.serving.register(&mut registry);

        let mut servers = JoinSet::new();
        let readiness = readiness(&shutdown, &self.serving, &accounts);
        let routes = [
            (Some(self.sockets.health), operations::health(readiness)),
            (self.sockets.metrics, operations::metrics(registry)),
        ];
        for (socket, router) in routes {
            let Some(socket) = socket else { continue };
            let listener = Listener {
                socket,
                service: Arc::new(Routes::new(router)),
                limits: OPERATIONS_LIMITS,
                protocol: Protocol::default(),
            };
            servers.spawn(listener.run(shutdown.clone()));
        }

        let mut background = JoinSet::new();
        match self.certificates {
            Certificates::Files(directory) => {
                background.spawn(files::run(directory, self.serving));
            }
            Certificates::Own => {
                let client = self.client.clone();
                let keeping = keeper::run(client, self.namespace, self.serving);
                let mut ending = shutdown.clone();
                background.spawn(async move {
                    tokio::select! {
                        () = keeping => {}
                        // The next Secret may be that of another installation, and the replicas that stay
                        // keep this one's.
                        () = ending.reached(Phase::Draining) => {}
                    }
                });
            }
        }
        let version = tokio::select! {
            version = version::of_server(&self.client) => Some(version),
            () = shutdown.reached(Phase::Draining) => None,
        };
        if let Some(version) = version {
            let mut config = self.config;
            config.sidecar.native = self.native_sidecar.decide_or_warn(&version)?;
            let admission = Admission::new(Arc::clone(&accounts), config.into(), metrics);
            let admission = Arc::new(admission);
            let streams = version::lists_as_streams(&version);
            background.spawn(accounts::watch::run(self.client, accounts, streams));
            if let Some((path, ca)) = self.proxy_ca {
                background.spawn(proxy_ca::follow(path, ca, Arc::clone(&admission)));
            }
            let listener = Listener {
                socket: self.sockets.admission,
                service: Arc::new(Routes::new(handler::router(admission))),
                limits: self.admission_limits,
                protocol: Protocol {
                    tls: Some(self.tls),
                    ..Protocol::default()
                },
            };
            servers.spawn(listener.run(shutdown));
        }
        ending.await.context("waiting for signals")?;
        servers.join_all().await;
        info!("the webhook has ended");
        Ok(())
    }
}

/// The conditions of `/readyz`, with sentences for the operator.
fn readiness(shutdown: &Shutdown, serving: &Arc<Serving>, accounts: &Arc<Accounts>) -> Readiness {
    let (shutdown, serving) = (shutdown.clone(), Arc::clone(serving));
    let accounts = Arc::clone(accounts);
    Readiness::default()
        .when(
            move || shutdown.phase() == Phase::Serving,
            "the webhook is ending",
        )
        .when(
            move || serving.is_ready(),
            "the API server does not trust the serving certificate yet",
        )
        .when(
            move || accounts.are_ready(),
            "service accounts are not listed yet",
        )
}

/// Drains at the first signal. Closes after [`DRAINING`], or at the second signal.
async fn end(mut signals: Signals, control: Control) {
    let signal = signals.next().await;
    control.enter(Phase::Draining);
    info!(
        seconds = DRAINING.as_secs(),
        "received {signal}: serving until API servers use other replicas"
    );
    tokio::select! {
        () = sleep(DRAINING) => {}
        signal = signals.next() => info!("received {signal} again: ending now"),
    }
    control.enter(Phase::Closed);
}

/// Connections that one address leaves to others, at most.
const MAX_RESERVE: usize = 128;

/// For probes and scrapes, which need a connection or two for each client.
const OPERATIONS_LIMITS: Limits = Limits {
    connections: 32,
    connections_per_address: Some(8),
    age: None,
    ..Limits::DEFAULT
};

/// A review takes microseconds, so more threads would only use memory.
const MAX_THREADS: usize = 4;

/// How long API servers have to learn that this replica leaves.
const DRAINING: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_a_reserve_to_others() {
        for (all, of_one) in [(1, 1), (4, 3), (64, 48), (1024, 896), (8192, 8064)] {
            let share = admission_limits(all).connections_per_address;
            assert_eq!(share, Some(of_one), "{all}");
        }
    }

    #[test]
    fn a_body_may_take_as_long_as_the_answer_to_a_slow_one_says() {
        assert_eq!(admission_limits(1024).body.grace, BODY_TIMEOUT);
    }
}
