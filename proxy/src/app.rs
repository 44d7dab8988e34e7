//! The one place where everything is put together.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use crate::config::Config;
use crate::entra::{Client, ClientError};
use crate::metrics::{Exchanges, Metrics};
use crate::relay::Relay;
use crate::server::serve;
use crate::service::{Keys, Readiness, Scrapes, Sidecar};
use crate::token::{SystemClock, Tokens};

/// The sidecar with its ports open.
#[derive(Debug)]
pub struct Bound {
    /// Where applications are answered.
    pub address: SocketAddr,
    /// Where metrics are.
    pub metrics_address: Option<SocketAddr>,
    client: Arc<Client>,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    metrics_listener: Option<TcpListener>,
    sidecar: Arc<Sidecar<Arc<Client>, SystemClock>>,
}

/// Why the sidecar does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No client for Entra.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A port is taken.
    #[error("port {port} cannot be listened on: {source}. Choose another with {flag}")]
    Port {
        /// The flag that sets it.
        flag: &'static str,
        /// The port.
        port: u16,
        /// The reason.
        source: io::Error,
    },
    /// There is no service account token.
    #[error(
        "the service account token {path} cannot be read ({source}): AZURE_FEDERATED_TOKEN_FILE \
         names it, and the webhook mounts it in pods with the label azure.workload.identity/use: \
         \"true\""
    )]
    TokenFile {
        /// Where it should be.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

impl StartError {
    /// The exit code, after sysexits.h: 66 without the token file, 69 when a port is taken.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(_) => 70,
            Self::Port { .. } => 69,
            Self::TokenFile { .. } => 66,
        }
    }
}

/// Checks what can be checked and opens the ports. Nothing is answered yet.
///
/// # Errors
/// The token file is missing or a port is taken.
pub async fn bind(config: Config) -> Result<Bound, StartError> {
    let token_file = config.entra.token_file().to_owned();
    std::fs::File::open(&token_file).map_err(|source| StartError::TokenFile {
        path: token_file.display().to_string(),
        source,
    })?;
    let loopback = [SocketAddr::from((Ipv4Addr::LOCALHOST, config.port))];
    let listener = listen("--proxy-port", config.port, &loopback).await?;
    let metrics_listener = match config.metrics_port {
        None => None,
        Some(port) => {
            // A pod may have one family of addresses or both.
            let any = [
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            ];
            Some(listen("--metrics-port", port, &any).await?)
        }
    };
    let exchanges = Exchanges::default();
    let client = Client::new(
        config.entra,
        config.binding,
        config.egress.as_ref(),
        config.roots,
        exchanges.clone(),
    )?;
    let client = Arc::new(client);
    let tokens = Tokens::new(Arc::clone(&client), SystemClock);
    let metrics = Arc::new(Metrics::new(&exchanges, tokens.clone()));
    let sidecar = Sidecar {
        app_service: config.app_service,
        imds: config.imds_is_on,
        keys: Keys::new(config.identities),
        metrics: Arc::clone(&metrics),
        readiness: Readiness::new(token_file),
        relay: Relay::new(config.imds, config.relay),
        tokens,
    };
    Ok(Bound {
        address: address(&listener, config.port)?,
        metrics_address: metrics_listener
            .as_ref()
            .map(|listener| address(listener, 0))
            .transpose()?,
        client,
        listener,
        metrics,
        metrics_listener,
        sidecar: Arc::new(sidecar),
    })
}

impl Bound {
    /// Answers until `stop` is ready, then lets requests under way end and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        info!(address = %self.address, version = contract::VERSION, "starting the proxy server");
        let (stopping, stopped) = watch::channel(false);
        let until_stopped = || {
            let mut stopped = stopped.clone();
            async move {
                // An error means that the sender is gone: time to stop as well.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let scrapes = async {
            if let Some(listener) = self.metrics_listener {
                serve(listener, Arc::new(Scrapes(self.metrics)), until_stopped()).await;
            }
        };
        let requests = serve(self.listener, Arc::clone(&self.sidecar), until_stopped());
        let upkeep = async {
            self.client.warm_up().await;
            self.sidecar.readiness.started();
            self.sidecar.tokens.keep_fresh().await;
        };
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        tokio::select! {
            _ = async { tokio::join!(requests, scrapes, stop) } => {}
            () = upkeep => {}
        }
    }
}

async fn listen(
    flag: &'static str,
    port: u16,
    addresses: &[SocketAddr],
) -> Result<TcpListener, StartError> {
    TcpListener::bind(addresses)
        .await
        .map_err(|source| StartError::Port { flag, port, source })
}

fn address(listener: &TcpListener, port: u16) -> Result<SocketAddr, StartError> {
    let flag = "--proxy-port";
    listener
        .local_addr()
        .map_err(|source| StartError::Port { flag, port, source })
}
