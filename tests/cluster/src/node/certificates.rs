//! The cluster's CA, and a certificate for each component that needs one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use testkit::certificate::{Authority, Certificate};

use super::{NAME, kubeconfig, network};

/// The cluster's CA (PEM).
pub(super) const CA: &str = "/run/cluster/pki/ca.crt";
/// The CA's private key (PEM).
pub(super) const CA_KEY: &str = "/run/cluster/pki/ca.key";
/// The key that signs service account tokens: RSA, the only kind that Entra accepts.
pub(super) const TOKEN_KEY: &str = "/run/cluster/pki/service-account.key";

const FOLDER: &str = "/run/cluster/pki";

/// Shows that the certificates were made: a component that needs one takes it as an argument.
pub(super) struct Certificates(());

impl Certificates {
    /// Makes the certificates, and the kubeconfigs of the components that call the API.
    pub(super) fn make() -> Result<Self> {
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
        make_token_key()?;
        let ca = Authority::new("cluster-ca")?;
        write(CA, ca.certificate())?;
        write(CA_KEY, &ca.key())?;
        let api_names = [
            network::NODE,
            network::API_SERVICE,
            "127.0.0.1",
            "localhost",
            "kubernetes.default.svc",
        ];
        write_server(&ca, "kube-apiserver", &api_names)?;
        write_server(&ca, "kubelet", &[network::NODE, NAME])?;
        write_client(
            &ca,
            "kube-apiserver-client",
            "kube-apiserver",
            Some("system:masters"),
        )?;
        for (user, common_name, group) in [
            ("admin", "admin", Some("system:masters")),
            (
                "kube-controller-manager",
                "system:kube-controller-manager",
                None,
            ),
            ("kube-scheduler", "system:kube-scheduler", None),
            ("kube-proxy", "system:kube-proxy", None),
            (
                "kubelet-client",
                &format!("system:node:{NAME}"),
                Some("system:nodes"),
            ),
        ] {
            write_client(&ca, user, common_name, group)?;
            kubeconfig::write(user)?;
        }
        Ok(Self(()))
    }
}

/// A certificate's path.
pub(super) fn certificate(name: &str) -> String {
    format!("{FOLDER}/{name}.crt")
}

/// The path of a certificate's key.
pub(super) fn key(name: &str) -> String {
    format!("{FOLDER}/{name}.key")
}

/// Writes a server's certificate for these names and addresses, and its key.
fn write_server(ca: &Authority, name: &str, alternatives: &[&str]) -> Result<()> {
    write_pair(name, &ca.server(name, alternatives)?)
}

/// Writes a client's certificate and its key.
fn write_client(ca: &Authority, name: &str, user: &str, group: Option<&str>) -> Result<()> {
    write_pair(name, &ca.client(user, group)?)
}

fn write_pair(name: &str, pair: &Certificate) -> Result<()> {
    write(certificate(name), &pair.certificate)?;
    write(key(name), &pair.key)
}

fn make_token_key() -> Result<()> {
    let output = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
        .args(["-out", TOKEN_KEY])
        .output()
        .context("cannot start openssl")?;
    if !output.status.success() {
        bail!(
            "openssl failed to make a key: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn write(path: impl Into<PathBuf>, text: &str) -> Result<()> {
    let path = path.into();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
