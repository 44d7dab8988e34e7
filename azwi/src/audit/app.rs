//! Opens the ports, puts the parts together and runs them until a signal ends the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use prometheus_client::registry::Registry;
use service_kit::listener::{self, Limits, Listener, Protocol};
use service_kit::readiness::Readiness;
use service_kit::shutdown::{Control, Phase, Signals};
use tokio::task::JoinSet;
use tracing::info;
use webhook::accounts::{self, Accounts};
use webhook::http::Routes;
use webhook::{api_server, operations, version};

use super::events::Events;
use super::evictions::Evictions;
use super::metrics::Metrics;
use super::owners::Owners;
use super::policy::Policy;
use super::round::Rounds;
use super::store::Pods;
use super::turns::Turns;
use super::watch;

/// The audit's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the pods should have.
    pub policy: Policy,
    /// Whether pods are evicted.
    pub evicts: bool,
    /// The address of `/healthz` and `/readyz`.
    pub health_addr: String,
    /// The address of `/metrics`, none without metrics.
    pub metrics_addr: Option<String>,
    /// This replica, as Events name it.
    pub instance: String,
}

/// Runs the audit.
///
/// # Errors
///
/// When it cannot start: a port is taken, or no API server is configured.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    info!(version = contract::VERSION, "starting the audit");
    let mut signals = Signals::take().context("cannot receive signals")?;
    let mut config = kube::Config::infer()
        .await
        .context("no API server is configured: run in a cluster, or set KUBECONFIG")?;
    // Every round tries again. The client would wait for a budget's Retry-After, and hold up the round.
    config.default_retry = false;
    let client =
        api_server::client(config, USER_AGENT).context("cannot use the API server's settings")?;
    let control = Control::default();
    let shutdown = control.shutdown();
    let policy = Arc::new(settings.policy);
    let accounts = Arc::new(Accounts::new(client.clone()));
    let pods = Arc::new(Pods::default());
    let metrics = Arc::new(Metrics::default());
    let mut registry = Registry::default();
    metrics.register(&mut registry, &pods);

    let mut servers = JoinSet::new();
    let health = operations::health(readiness(&pods, &accounts));
    let scrape = settings
        .metrics_addr
        .map(|it| (it, operations::metrics(registry)));
    for (address, router) in [(settings.health_addr, health)].into_iter().chain(scrape) {
        let failed = || format!("cannot listen on {address}");
        let socket = listener::bind(&address).await.with_context(failed)?;
        let address = socket.local_addr().with_context(failed)?;
        info!(%address, "listening");
        let listener = Listener {
            socket,
            service: Arc::new(Routes::new(router)),
            limits: LIMITS,
            protocol: Protocol::default(),
        };
        servers.spawn(listener.run(shutdown.clone()));
    }

    let evictions = settings
        .evicts
        .then(|| Evictions::new(client.clone(), Arc::clone(&metrics), Arc::clone(&policy)));
    let rounds = Rounds {
        accounts: Arc::clone(&accounts),
        events: Events::new(client.clone(), settings.instance),
        evictions,
        metrics,
        owners: Owners::new(client.clone()),
        pods: Arc::clone(&pods),
        reported: BTreeMap::new(),
        turns: Turns::default(),
    };
    let mut background = JoinSet::new();
    background.spawn(async move {
        let version = version::of_server(&client).await;
        let streams = version::lists_as_streams(&version);
        tokio::join!(
            accounts::watch::run(client.clone(), accounts, streams),
            watch::run(client, pods, policy, streams),
            rounds.run(),
        );
    });
    let signal = signals.next().await;
    info!("received {signal}: ending");
    drop(background);
    control.enter(Phase::Closed);
    servers.join_all().await;
    Ok(())
}

fn readiness(pods: &Arc<Pods>, accounts: &Arc<Accounts>) -> Readiness {
    let (pods, accounts) = (Arc::clone(pods), Arc::clone(accounts));
    Readiness::default()
        .when(move || pods.are_listed(), "pods are not listed yet")
        .when(
            move || accounts.are_listed(),
            "service accounts are not listed yet",
        )
}

/// By which audit logs of the API server name the audit.
const USER_AGENT: &str = concat!("azure-workload-identity-audit/", env!("CARGO_PKG_VERSION"));

/// For probes and scrapes, which need a connection or two for each client.
const LIMITS: Limits = Limits {
    connections: 32,
    connections_per_address: Some(8),
    age: None,
    ..Limits::DEFAULT
};
