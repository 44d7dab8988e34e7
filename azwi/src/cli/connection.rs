//! The connection to the cluster: the options that every subcommand with a cluster has.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};
use tokio::runtime;
use tokio::time::timeout;
use webhook::reason::reason;

use super::egress;

/// Where the cluster is.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The kubeconfig file [KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig file
    #[arg(long)]
    context: Option<String>,
}

/// The cluster cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the kubeconfig file cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("there is no kubeconfig file, and this is no pod of a cluster: {0}")]
    NoConfig(#[from] kube::config::InferConfigError),
    #[error("the API server's settings cannot be used: {0}")]
    Client(#[from] Error),
    #[error("the API server {server} cannot be reached: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("the runtime does not start: {0}")]
    Runtime(#[from] io::Error),
}

/// A client of the cluster.
pub(super) struct Cluster {
    pub(super) client: Client,
    /// The namespace of the context.
    pub(super) namespace: String,
}

impl Connection {
    /// Runs `task` with a client of the cluster.
    pub(super) fn run<T, F: Future<Output = T>>(
        &self,
        task: impl FnOnce(Cluster) -> F,
    ) -> Result<T, ConnectionError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut config = self.config().await?;
            if is_direct(&config) {
                config.proxy_url = None;
            }
            let namespace = config.default_namespace.clone();
            let server = config.cluster_url.to_string();
            let client = Client::try_from(config)?;
            let failure = failure(&client).await;
            if let Some(reason) = failure {
                return Err(ConnectionError::Unreachable { server, reason });
            }
            Ok(task(Cluster { client, namespace }).await)
        })
    }

    /// The same for kubectl, as its arguments.
    pub(super) fn of_kubectl(&self) -> Vec<OsString> {
        let file = self.kubeconfig.as_ref();
        let file = file.map(|it| ["--kubeconfig".into(), it.into()]);
        let context = self.context.as_ref();
        let context = context.map(|it| ["--context".into(), it.into()]);
        file.into_iter().chain(context).flatten().collect()
    }

    async fn config(&self) -> Result<Config, ConnectionError> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        if let Some(file) = &self.kubeconfig {
            let kubeconfig = Kubeconfig::read_from(file)?;
            return Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?);
        }
        if options.context.is_some() {
            return Ok(Config::from_kubeconfig(&options).await?);
        }
        Ok(Config::infer().await?)
    }
}

/// Why the API server does not answer at all: otherwise every request would say the same.
async fn failure(client: &Client) -> Option<String> {
    let request = Request::get("/version").body(Vec::new()).ok()?;
    match timeout(TIMEOUT, client.request_text(request)).await {
        Ok(Err(error @ (Error::Service(_) | Error::HyperError(_) | Error::Auth(_)))) => {
            Some(reason(&error))
        }
        Ok(_) => None,
        Err(_) => Some(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

/// Whether the API server is reached without the egress proxy of the environment. kube 5.0 compares `NO_PROXY` with
/// the egress proxy itself. The `proxy-url` of a kubeconfig file is used for every host.
fn is_direct(config: &Config) -> bool {
    let of_environment = ["HTTPS_PROXY", "https_proxy"]
        .into_iter()
        .filter_map(|it| std::env::var(it).ok()?.parse().ok());
    let mut of_environment = of_environment.map(Some);
    let no_proxy = ["NO_PROXY", "no_proxy"]
        .into_iter()
        .find_map(|it| std::env::var(it).ok().filter(|it| !it.is_empty()));
    of_environment.any(|it| it == config.proxy_url)
        && egress::is_direct(&config.cluster_url, &no_proxy.unwrap_or_default())
}

/// For the first answer of the API server.
const TIMEOUT: Duration = Duration::from_secs(30);
