//! The proxy, put together: [`build`] makes the components and opens the ports, [`Bound::run`] serves.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use service_kit::listener::{BodyRate, Limits, Listener, Protocol, Service};
use service_kit::shutdown::{Control, Phase};
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::info;

use crate::api::{Api, Store};
use crate::capacity::{Capacity, MAX_CONNECTIONS};
use crate::config::Config;
use crate::entra::{Client, ClientError};
use crate::file;
use crate::metrics::{self, Scrapes};
use crate::relay::Relay;
use crate::startup::{Startup, UnverifiedError};
use crate::token::SystemClock;

/// The proxy with its ports open.
#[derive(Debug)]
pub struct Bound {
    /// The address for applications.
    pub address: SocketAddr,
    /// The address of `/metrics`.
    pub metrics_address: Option<SocketAddr>,
    api: Arc<Api<Arc<Client>>>,
    capacity: Capacity,
    client: Arc<Client>,
    listener: TcpListener,
    metrics: Arc<Scrapes>,
    metrics_listener: Option<TcpListener>,
    startup: Startup,
    tokens: Store<Arc<Client>>,
}

/// Why the proxy does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The client for Entra cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A port cannot be opened.
    #[error("cannot listen on port {port}: {source}. Choose another port with {flag}")]
    Port {
        /// The flag that sets the port.
        flag: &'static str,
        /// The port.
        port: u16,
        /// The reason.
        source: io::Error,
    },
    /// The service account token cannot be opened.
    #[error(
        "the service account token {path} cannot be read ({source}): AZURE_FEDERATED_TOKEN_FILE \
         names it, and the webhook mounts it in pods with the label azure.workload.identity/use: \
         \"true\""
    )]
    TokenFile {
        /// The path of the file.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

impl StartError {
    /// The exit code, after sysexits.h: 66 without the token file, 69 when a port is taken.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(_) => 70,
            Self::Port { .. } => 69,
            Self::TokenFile { .. } => 66,
        }
    }
}

/// Makes the components and opens the ports. No request is answered yet.
///
/// # Errors
///
/// The token file is missing, a port is taken, or the client for Entra cannot be made.
pub async fn build(config: Config) -> Result<Bound, StartError> {
    let token_file = config.entra.settings.token_file().to_owned();
    file::open(&token_file).map_err(|source| StartError::TokenFile {
        path: token_file.display().to_string(),
        source,
    })?;
    let listener = listen_locally(config.port).await?;
    let metrics_listener = match config.metrics_port {
        None => None,
        Some(port) => Some(listen_everywhere(port).await?),
    };

    let capacity = Capacity::detect();
    let mut registry = metrics::registry();
    let resource_manager = config.entra.settings.resource_manager();
    let identities = &config.api.identities;
    let startup = Startup::new(config.startup, resource_manager, identities, &mut registry);
    let client = Arc::new(Client::new(config.entra, &mut registry)?);
    let tokens = Store::new(Arc::clone(&client), SystemClock, capacity.waiting);
    tokens.register(&mut registry);
    let relay = Relay::new(config.relay, capacity.relays);
    let api = Api::new(config.api, token_file, relay, tokens.clone(), &mut registry);
    Ok(Bound {
        address: address("--proxy-port", &listener)?,
        metrics_address: metrics_listener
            .as_ref()
            .map(|listener| address("--metrics-port", listener))
            .transpose()?,
        api: Arc::new(api),
        capacity,
        client,
        listener,
        metrics: Arc::new(Scrapes(registry)),
        metrics_listener,
        startup,
        tokens,
    })
}

impl Bound {
    /// Counts the requests that have ended so far; `None` while one is under way.
    pub fn requests(&self) -> impl Fn() -> Option<u64> + use<> {
        let api = Arc::clone(&self.api);
        move || api.requests()
    }

    /// Waits until a container of the pod has ended the proxy with a request.
    pub fn quit(&self) -> impl Future<Output = ()> + use<> {
        let api = Arc::clone(&self.api);
        async move { api.quit().await }
    }

    /// Serves until `stop` is ready, then lets requests under way end and returns.
    ///
    /// # Errors
    ///
    /// The pod's application does not start without a token, and there is none.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), UnverifiedError> {
        info!(address = %self.address, version = contract::VERSION, "starting the proxy server");
        let control = Control::default();
        let scrapes = async {
            if let Some(socket) = self.metrics_listener {
                let limits = Limits {
                    connections: self.capacity.scrapes,
                    connections_per_address: Some(SCRAPES_PER_ADDRESS),
                    ..LIMITS
                };
                let listener = listener(socket, self.metrics, limits);
                listener.run(control.shutdown()).await;
            }
        };
        let limits = Limits {
            connections: self.capacity.connections,
            ..LIMITS
        };
        let requests = listener(self.listener, Arc::clone(&self.api), limits);
        let requests = requests.run(control.shutdown());
        let readiness = self.api.readiness();
        let start = async {
            if self.startup.is_empty() {
                // Nothing waits for Entra.
                readiness.set_started();
                self.client.warm_up().await;
                return Ok(());
            }
            let waiting_for = |reason| readiness.set_waiting_for(reason);
            self.startup.run(&self.tokens, waiting_for).await?;
            readiness.set_started();
            Ok(())
        };
        let upkeep = async {
            tokio::select! {
                // It never returns.
                () = self.tokens.keep_fresh() => Ok(()),
                Err(error) = start => Err(error),
            }
        };
        let stop = async {
            stop.await;
            control.enter(Phase::Closed);
        };
        tokio::select! {
            _ = async { tokio::join!(requests, scrapes, stop) } => Ok(()),
            outcome = upkeep => outcome,
        }
    }
}

fn listener<S: Service>(socket: TcpListener, service: Arc<S>, limits: Limits) -> Listener<S> {
    Listener {
        socket,
        service,
        limits,
        protocol: PROTOCOL,
    }
}

/// Listens for applications, which are all in the pod.
async fn listen_locally(port: u16) -> Result<TcpListener, StartError> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    listen("--proxy-port", port, &[loopback]).await
}

/// Listens for Prometheus. A pod may have IPv4, IPv6 or both.
async fn listen_everywhere(port: u16) -> Result<TcpListener, StartError> {
    let any = [
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
    ];
    listen("--metrics-port", port, &any).await
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

fn address(flag: &'static str, listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Port {
        flag,
        port: 0,
        source,
    })
}

/// The limits of both ports, with the number of connections of [`Capacity`].
pub const LIMITS: Limits = Limits {
    connections: MAX_CONNECTIONS,
    // All clients have the pod's own address.
    connections_per_address: None,
    unanswered_first: false,
    idle: Duration::from_secs(30),
    // W3C baggage alone has up to 8 KiB, and applications send it to every host.
    head_size: 16 * 1024,
    // Bodies are relayed to IMDS, which accepts only small ones.
    body: BodyRate {
        grace: Duration::from_secs(30),
        bytes_per_second: 1024,
    },
    // Clients have no other replica to connect to.
    age: None,
    ..Limits::DEFAULT
};

/// HTTP/1.1 without TLS. Some clients close their side of the connection after the request.
pub const PROTOCOL: Protocol = Protocol::plain(true);

/// Connections of one address to the metrics' port. Prometheus has one.
const SCRAPES_PER_ADDRESS: usize = 4;
