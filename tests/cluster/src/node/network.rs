//! The node's addresses, on interfaces in its network namespace.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The node's address, of the API server, the kubelet and the pods' name server.
pub(super) const NODE: &str = "192.0.2.10";
/// The address that every Azure name resolves to.
pub(super) const AZURE: &str = "198.51.100.10";
/// The node's own metadata service, as on an Azure machine.
pub(super) const METADATA: &str = "169.254.169.254";
/// The pods' addresses.
pub(super) const PODS: &str = "10.244.0.0/24";
/// The addresses of pods that have IPv6 alone.
pub(super) const PODS_IPV6: &str = "fd00:10:244:1::/64";
/// The addresses of pods that have both families.
pub(super) const PODS_DUAL: &str = "10.244.1.0/24";
pub(super) const PODS_IPV6_DUAL: &str = "fd00:10:244:2::/64";
/// The Services' addresses.
pub(super) const SERVICES: &str = "10.0.0.0/16";
/// The API server's Service: the first of the range.
pub(super) const API_SERVICE: &str = "10.0.0.1";

/// Sets up loopback, `eth0` and the default route, and forwards for the pods.
pub(super) fn set_up() -> Result<()> {
    // A veth pair, since not every kernel has dummy devices; its other end is unused.
    let script = format!(
        "link set lo up
         address add {AZURE}/32 dev lo
         address add {METADATA}/32 dev lo
         link add eth0 type veth peer name beyond
         address add {NODE}/24 dev eth0
         link set beyond up
         link set eth0 up
         route add default via 192.0.2.1 dev eth0
        "
    );
    ip(&script)?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot turn on forwarding")
}

fn ip(script: &str) -> Result<()> {
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start ip")?;
    if let Some(mut input) = ip.stdin.take() {
        input.write_all(script.as_bytes())?;
    }
    let output = ip.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "cannot set up the network: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
