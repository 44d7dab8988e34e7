//! Starting and ending the emulators.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use testkit::certificate::CertificateError;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificates;
use crate::client::{Control, ControlError};
use crate::control::router;
use crate::entra::TOKEN_PROXY_BASE;
use crate::model::Socket;
use crate::socket::Listener;
use crate::state::{State, signing_key};

/// Where the emulators listen. The default is free ports of 127.0.0.1.
#[derive(Clone, Debug)]
pub struct Options {
    /// HTTPS: Entra, Key Vault and static websites, distinguished by the host.
    pub address: SocketAddr,
    /// HTTP: the node's IMDS.
    pub imds_address: SocketAddr,
    /// HTTPS: the token proxy of AKS identity bindings; `None` for no token proxy.
    pub token_proxy_address: Option<SocketAddr>,
    /// HTTP: the control API.
    pub control_address: SocketAddr,
    /// More names and addresses for the certificate.
    pub names: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            address: free,
            imds_address: free,
            token_proxy_address: Some(free),
            control_address: free,
            names: Vec::new(),
        }
    }
}

/// Why the emulators do not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is it on this machine and free?")]
    Bind {
        /// The address that cannot be bound.
        address: SocketAddr,
        /// The error of the system call.
        source: io::Error,
    },
    /// The control client cannot be made.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// The running emulators. They end when this is dropped.
pub struct Azure {
    /// Where Entra, Key Vault and static websites listen.
    pub address: SocketAddr,
    /// Where the node's IMDS listens.
    pub imds_address: SocketAddr,
    /// Where the token proxy listens.
    pub token_proxy_address: Option<SocketAddr>,
    /// Where the control API listens.
    pub control_address: SocketAddr,
    /// The CA of every certificate, PEM.
    pub ca_pem: String,
    /// A client of the control API.
    pub control: Control,
    tasks: JoinSet<io::Result<()>>,
}

impl Azure {
    /// Starts the emulators. When this returns they listen.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let certificates = Certificates::make(&options.names)?;
        let tls = TlsAcceptor::from(certificates.server);
        let mut listeners = Vec::new();
        let mut switches = BTreeMap::new();
        let wanted = [
            (Socket::Azure, Some(options.address), Some(tls.clone())),
            (Socket::Imds, Some(options.imds_address), None),
            (Socket::TokenProxy, options.token_proxy_address, Some(tls)),
        ];
        let mut bound = BTreeMap::new();
        for (socket, address, tls) in wanted {
            let Some(address) = address else { continue };
            let failed = |source| StartError::Bind { address, source };
            let (listener, switch) = Listener::bind(socket, address, tls).await.map_err(failed)?;
            bound.insert(socket, listener.address().map_err(failed)?);
            listeners.push(listener);
            switches.insert(socket, switch);
        }
        let address = options.control_address;
        let failed = |source| StartError::Bind { address, source };
        let control = TcpListener::bind(address).await.map_err(failed)?;
        let control_address = control.local_addr().map_err(failed)?;

        let own = bound.get(&Socket::Azure).copied();
        let own = own.unwrap_or(options.address);
        let state = Arc::new(State::new(certificates.ca_pem.clone(), own, switches));
        let mut tasks = JoinSet::new();
        // Making the key takes some seconds. A token request before that waits for it.
        tasks.spawn(async { signing_key().await.map(drop).map_err(io::Error::other) });
        for listener in listeners {
            tasks.spawn(listener.run(Arc::clone(&state)));
        }
        tasks.spawn(async move { axum::serve(control, router(state)).await });
        let bound = |socket| bound.get(&socket).copied();
        Ok(Self {
            address: own,
            imds_address: bound(Socket::Imds).unwrap_or(options.imds_address),
            token_proxy_address: bound(Socket::TokenProxy),
            control_address,
            ca_pem: certificates.ca_pem,
            control: Control::new(control_address)?,
            tasks,
        })
    }

    /// Entra's base URL by address, for `AZURE_AUTHORITY_HOST`. It ends in a slash, and the
    /// certificate is valid for it when it is a loopback address.
    pub fn entra_url(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// The token proxy's base URL, for `AZURE_KUBERNETES_TOKEN_PROXY`.
    pub fn token_proxy_url(&self) -> Option<String> {
        let address = self.token_proxy_address?;
        Some(format!("https://{address}{TOKEN_PROXY_BASE}"))
    }

    /// Runs until a part of it fails.
    pub async fn run(mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}
