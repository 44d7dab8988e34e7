//! The programs that the node calls, each with its Debian package.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::log::Log;
use super::{Step, find_program};

/// Each program's name, or a file's path outside of the folders of programs, and its package.
const PROGRAMS: [(&str, &str); 14] = [
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
    ("/usr/include/seccomp.h", "libseccomp-dev"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("buildah", "buildah"),
    ("cc", "build-essential"),
    ("dnsmasq", "dnsmasq-base"),
    ("etcd", "etcd-server"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("pkg-config", "pkg-config"),
    ("tar", "tar"),
    ("unzip", "unzip"),
];

/// The programs of [`PROGRAMS`].
pub(super) struct Packages;

impl Step for Packages {
    fn title(&self) -> String {
        format!("installing Debian packages: {}", missing().join(" "))
    }

    fn is_done(&self) -> bool {
        missing().is_empty()
    }

    fn install(&self, log: &Log) -> Result<()> {
        install(&missing(), log)
    }
}

/// Installs packages. Fetches the package lists first, since a bare machine has none.
pub(super) fn install(packages: &[&str], log: &Log) -> Result<()> {
    log.run(apt().arg("update"))?;
    log.run(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}

fn missing() -> Vec<&'static str> {
    PROGRAMS
        .iter()
        .filter(|(program, _)| !Path::new(program).exists() && find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect()
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet", "--option", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
