//! The name server and the emulator of Azure, outside of the cluster.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::component::Components;
use super::{network, ready};
use crate::arguments::Run;

/// The address of the emulator's control API.
pub(super) const CONTROL: &str = "127.0.0.1:9700";
/// The name in the certificate of AKS's token proxy, which listens beside Azure's other services.
const TOKEN_PROXY_NAME: &str = "token-proxy.cluster.example";
const TOKEN_PROXY_PORT: u16 = 8443;
/// The CA of emulated Azure (PEM); the emulator writes it.
pub(super) const AZURE_CA: &str = "/run/cluster/azure-ca.pem";

const AZURE_EMULATOR: &str = "azure-emulator";

/// The names of Azure's clouds, each with all names below it.
const AZURE_NAMES: [&str; 18] = [
    "login-us.microsoftonline.com",
    "login.chinacloudapi.cn",
    "login.microsoft.com",
    "login.microsoftonline.com",
    "login.microsoftonline.de",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.sovcloud-identity.de",
    "login.sovcloud-identity.fr",
    "login.sovcloud-identity.sg",
    "login.usgovcloudapi.net",
    "login.windows.net",
    "management.azure.com",
    "sts.windows.net",
    "vault.azure.cn",
    "vault.azure.net",
    "vault.usgovcloudapi.net",
    "web.core.windows.net",
];

/// Starts the name server and the emulator of Azure.
pub(super) fn start(run: &Run, components: &Components) -> Result<()> {
    start_name_server(components)?;
    let mut azure = components.command(emulator(run)?);
    azure.args([
        "--address",
        &format!("{}:443", network::AZURE),
        "--imds-address",
        &format!("{}:80", network::METADATA),
        "--token-proxy-address",
        &format!("{}:{TOKEN_PROXY_PORT}", network::AZURE),
        "--name",
        TOKEN_PROXY_NAME,
        "--control-address",
        CONTROL,
        "--ca-file",
        AZURE_CA,
    ]);
    components.start(AZURE_EMULATOR, azure)
}

/// Waits until the emulator listens.
pub(super) fn wait() -> Result<()> {
    ready::wait_for_http(AZURE_EMULATOR, CONTROL, "/readyz")
}

fn start_name_server(components: &Components) -> Result<()> {
    let mut server = components.command("dnsmasq");
    server.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--log-facility=-",
        "--pid-file=",
        "--user=root",
        "--bind-interfaces",
        &format!("--listen-address={}", network::NODE),
        "--no-hosts",
        "--no-resolv",
        // No other name exists, and no other server is asked.
        "--local=/#/",
    ]);
    for name in AZURE_NAMES {
        // The second option answers queries of other types with "no such record". Without it, a client
        // that also queries an IPv6 address would learn that the name does not exist.
        server.arg(format!("--address=/{name}/{}", network::AZURE));
        server.arg(format!("--local=/{name}/"));
    }
    components.start("dnsmasq", server)
}

fn emulator(run: &Run) -> Result<PathBuf> {
    let path = match &run.azure_emulator {
        Some(path) => path.clone(),
        None => env::current_exe()?.with_file_name(AZURE_EMULATOR),
    };
    if !path.is_file() {
        bail!(
            "there is no emulator of Azure at {}: build it with `cargo build -p {AZURE_EMULATOR}`, \
             or name it with --azure-emulator",
            path.display()
        );
    }
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}
