//! `azure-emulator`: Entra, the node's IMDS, Key Vault and static websites for tests and the demo.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use azure_emulator::{Azure, Options};
use clap::Parser;

/// Emulates Entra, the IMDS of a node, Key Vault, static websites and the token proxy of AKS identity bindings.
#[derive(Parser)]
struct Arguments {
    /// Where Entra, Key Vault and static websites listen (HTTPS).
    #[arg(long)]
    address: SocketAddr,
    /// Where the node's IMDS listens (HTTP).
    #[arg(long)]
    imds_address: SocketAddr,
    /// Where the token proxy listens (HTTPS). Without it there is none.
    #[arg(long)]
    token_proxy_address: Option<SocketAddr>,
    /// Where the control API listens (HTTP).
    #[arg(long)]
    control_address: SocketAddr,
    /// The file that the CA's certificate is written to.
    #[arg(long)]
    ca_file: PathBuf,
    /// A further name or address for the certificate. May be given several times.
    #[arg(long = "name")]
    names: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let azure = Azure::start(Options {
        address: arguments.address,
        imds_address: arguments.imds_address,
        token_proxy_address: arguments.token_proxy_address,
        control_address: arguments.control_address,
        names: arguments.names,
    })
    .await?;
    let path = &arguments.ca_file;
    std::fs::write(path, &azure.ca_pem)
        .with_context(|| format!("cannot write the CA to {}", path.display()))?;
    azure.run().await
}
