//! Waits until each part of the node is ready.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, anyhow};
use testkit::poll;
use testkit::process::end_of_log;

use super::component::{Components, log};
use super::{NAME, network};

/// The deadline of each wait. An idle machine needs some 4 s for all of them, a busy one far longer.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits for the API server's `/readyz`.
pub(super) fn wait_for_api(components: &Components) -> Result<()> {
    let address = format!("{}:6443", network::NODE);
    wait("kube-apiserver", "to listen", || {
        TcpStream::connect(&address).is_ok()
    })?;
    wait("kube-apiserver", "to be ready", || {
        components
            .run(components.command("kubectl").args(["get", "--raw=/readyz"]))
            .is_ok()
    })
}

/// Waits until pods can be created, started, and reach Services.
pub(super) fn wait_for_node(components: &Components) -> Result<()> {
    watch(
        components,
        "kubelet",
        &["--for=create", &format!("node/{NAME}")],
    )?;
    watch(
        components,
        "kubelet",
        &["--for=condition=Ready", &format!("node/{NAME}")],
    )?;
    watch(
        components,
        "kube-controller-manager",
        &["--for=create", "serviceaccount/default"],
    )?;
    wait_for_http("kube-proxy", "127.0.0.1:10256", "/healthz")
}

/// Waits until a component answers 200.
pub(super) fn wait_for_http(component: &str, address: &str, path: &str) -> Result<()> {
    wait(component, &format!("to answer {path}"), || {
        answers(address, path).unwrap_or(false)
    })
}

/// Waits until a component listens on a socket.
pub(super) fn wait_for_socket(component: &str, path: &str) -> Result<()> {
    wait(component, "to listen", || UnixStream::connect(path).is_ok())
}

fn watch(components: &Components, component: &str, arguments: &[&str]) -> Result<()> {
    let mut command = components.command("kubectl");
    command
        .arg("wait")
        .args(arguments)
        .arg(format!("--timeout={}s", DEADLINE.as_secs()));
    components.run(&mut command).map(|_| ()).map_err(|error| {
        anyhow!(
            "{component} is not ready: {error:#}; {}",
            end_of_log(&log(component))
        )
    })
}

fn wait(component: &str, what: &str, done: impl Fn() -> bool) -> Result<()> {
    let waited = poll::blocking(DEADLINE, &format!("{component} {what}"), done, |done| *done);
    waited.map(drop).map_err(|timeout| {
        let log = end_of_log(&log(component));
        anyhow!("{timeout}; {log}")
    })
}

fn answers(address: &str, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
}
