//! Puts the parts together and runs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use contract::value::CaData;
use contract::variable;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::accounts::{self, Accounts};
use crate::certificate::{Serving, files, own};
use crate::inject::{Config, Prepared};
use crate::metrics::Metrics;
use crate::server::admission::{self, Admission};
use crate::server::connections::{Server, bind};
use crate::server::operations::{self, Readiness};
use crate::server::phase::{self, Phase};
use crate::server::tls;
use crate::settings::{Certificates, Settings};
use crate::version;

/// Connections of probes and scrapes, on each of their ports.
const MAX_OPERATIONS_CONNECTIONS: u32 = 32;
const CA_FILE_PERIOD: Duration = Duration::from_secs(10);
const VERSION_PAUSE: Duration = Duration::from_secs(1);
/// The first minor version that may list as a stream (KEP-3157).
const FIRST_WITH_STREAMS: u32 = 32;

/// Runs the webhook until it is asked to end.
///
/// # Errors
///
/// When it cannot start: a port is taken, no API server is configured, a file is missing.
pub fn run(settings: Settings) -> anyhow::Result<()> {
    // A core dump would hold the certificate authority's key.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::error!("core dumps cannot be turned off: {error}");
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
        .block_on(serve(settings))
}

/// Makes the C library keep a little free memory. It gives back what is free at the end of the heap
/// from 128 KiB on, which many reviews at once free and need again all the time; by freeing a larger
/// block it learns to keep twice that block's size (mallopt(3), M_MMAP_THRESHOLD).
fn keep_free_memory() {
    const HALF: usize = 1024 * 1024;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HALF)));
}

/// A review costs some microseconds: more threads than these only cost memory.
const MAX_THREADS: usize = 4;

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        certificates,
        mut config,
        health_addr,
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
    tracing::info!(version = contract::VERSION, "starting the webhook");

    let (phase_sender, phase) = watch::channel(Phase::Serving);
    let ending = tokio::spawn(phase::run(phase_sender));
    let admission_listener = listen("admission", &format!(":{port}")).await?;
    let health_listener = listen("health", &health_addr).await?;
    let metrics_listener = match &metrics_addr {
        Some(address) => Some(listen("metrics", address).await?),
        None => None,
    };
    let client_config = kube::Config::infer()
        .await
        .context("no API server is configured: run in a cluster, or set KUBECONFIG")?;
    let client = Client::try_from(client_config).context("cannot use the API server's settings")?;
    let ca_data = match &proxy_ca_file {
        Some(path) => Some(read_ca(path)?),
        None => None,
    };
    set_ca(&mut config, ca_data.as_deref());

    let serving = Arc::new(Serving::default());
    let admission = Arc::new(Admission {
        accounts: Arc::new(Accounts::new(client.clone())),
        config: ArcSwap::from_pointee(config.into()),
        metrics: Arc::new(Metrics::new(metrics_by_namespace)),
    });
    let readiness = Arc::new(Readiness {
        admission: Arc::clone(&admission),
        serving: Arc::clone(&serving),
        phase: phase.clone(),
    });

    let mut background = JoinSet::new();
    let mut servers = JoinSet::new();
    let operations = [
        (
            Some(health_listener),
            operations::health(Arc::clone(&readiness)),
        ),
        (metrics_listener, operations::metrics(readiness)),
    ];
    for (listener, router) in operations {
        let Some(listener) = listener else { continue };
        let max_connections = MAX_OPERATIONS_CONNECTIONS;
        servers.spawn(
            Server {
                listener,
                router,
                max_connections,
                tls: None,
            }
            .run(phase.clone()),
        );
    }

    match certificates {
        Certificates::Files(directory) => {
            background.spawn(files::run(directory, Arc::clone(&serving)));
        }
        Certificates::Own => {
            background.spawn(own::run(client.clone(), namespace, Arc::clone(&serving)));
        }
    }
    if let (Some(path), Some(data)) = (proxy_ca_file, ca_data) {
        background.spawn(follow_ca(path, data, Arc::clone(&admission)));
    }

    let mut leaving = phase.clone();
    tokio::select! {
        version = server_version(&client) => {
            let lists_as_streams = version::is_at_least(&version, FIRST_WITH_STREAMS) == Some(true);
            background.spawn(accounts::watch::run(
                client,
                Arc::clone(&admission.accounts),
                lists_as_streams,
            ));
            let native = native_sidecar.decide(&version).unwrap_or_else(|| {
                tracing::warn!(
                    "the API server's version cannot be read, so the proxy is not injected as a \
                     native sidecar: set --native-sidecar"
                );
                false
            });
            update(&admission, |config| config.sidecar.native = native);
            servers.spawn(
                Server {
                    listener: admission_listener,
                    router: admission::router(admission),
                    max_connections,
                    tls: Some(tls::config(tls_min_version, serving)?),
                }
                .run(phase),
            );
        }
        () = phase::reached(&mut leaving, Phase::Draining) => {}
    }

    ending
        .await
        .context("waiting for signals")?
        .context("cannot receive signals")?;
    servers.join_all().await;
    tracing::info!("the webhook has ended");
    Ok(())
}

async fn listen(purpose: &str, address: &str) -> anyhow::Result<TcpListener> {
    let failed = || format!("cannot listen on {address} for {purpose}");
    let listener = bind(address).await.with_context(failed)?;
    let address = listener.local_addr().with_context(failed)?;
    tracing::info!(purpose, %address, "listening");
    Ok(listener)
}

/// Asks the API server what it is until it answers.
async fn server_version(client: &Client) -> Info {
    let mut is_told = false;
    loop {
        match client.apiserver_version().await {
            Ok(version) => {
                tracing::info!(version = %version.git_version, "API server found");
                return version;
            }
            Err(error) => {
                if !is_told {
                    tracing::warn!("the API server cannot be reached, trying again: {error}");
                }
                is_told = true;
                sleep(VERSION_PAUSE).await;
            }
        }
    }
}

fn update(admission: &Admission, change: impl Fn(&mut Config)) {
    admission.config.rcu(|config| {
        let mut config = Config::clone(config);
        change(&mut config);
        Prepared::from(config)
    });
}

fn read_ca(path: &Path) -> anyhow::Result<String> {
    let name = || format!("--proxy-ca-file={}", path.display());
    let text = std::fs::read_to_string(path).with_context(name)?;
    text.parse::<CaData>().with_context(name)?;
    Ok(text)
}

fn set_ca(config: &mut Config, data: Option<&str>) {
    let environment = &mut config.sidecar.environment;
    environment.retain(|(name, _)| *name != variable::CA_DATA);
    environment.extend(data.map(|data| (variable::CA_DATA, data.to_owned())));
}

/// Gives new pods the certificates that the file holds by then.
async fn follow_ca(path: PathBuf, mut current: String, admission: Arc<Admission>) {
    let mut ticks = interval(CA_FILE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        match read_ca(&path) {
            Ok(data) => {
                told.clear();
                if data != current {
                    update(&admission, |config| set_ca(config, Some(&data)));
                    tracing::info!("the proxies' certificates are replaced");
                    current = data;
                }
            }
            Err(error) => {
                let text = format!("{error:#}");
                if text != told {
                    tracing::warn!("the proxies' certificates are not replaced: {text}");
                }
                told = text;
            }
        }
    }
}
