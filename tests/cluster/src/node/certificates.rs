//! The cluster's CA, and a certificate for each that proves who it is with one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::{NAME, kubeconfig, network};

/// The cluster's CA (PEM).
pub(super) const CA: &str = "/run/cluster/pki/ca.crt";
/// Its key.
pub(super) const CA_KEY: &str = "/run/cluster/pki/ca.key";
/// The key that signs service account tokens: RSA, since Entra accepts nothing else.
pub(super) const TOKEN_KEY: &str = "/run/cluster/pki/service-account.key";

const FOLDER: &str = "/run/cluster/pki";

/// Proof that all of them were made; who serves with one asks it for the path.
pub(super) struct Certificates(());

impl Certificates {
    /// Makes all of them, and the kubeconfigs of those that call the API.
    pub(super) fn make() -> Result<Self> {
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
        make_token_key()?;
        let ca = ca()?;
        write(CA, &ca.pem())?;
        write(CA_KEY, &ca.key().serialize_pem())?;
        let api_names = [
            network::NODE,
            network::API_SERVICE,
            "127.0.0.1",
            "localhost",
            "kubernetes.default.svc",
        ];
        serve(&ca, "kube-apiserver", &api_names)?;
        serve(&ca, "kubelet", &[network::NODE, NAME])?;
        identify(
            &ca,
            "kube-apiserver-client",
            "kube-apiserver",
            "system:masters",
        )?;
        for (user, common_name, group) in [
            ("admin", "admin", "system:masters"),
            (
                "kube-controller-manager",
                "system:kube-controller-manager",
                "",
            ),
            ("kube-scheduler", "system:kube-scheduler", ""),
            ("kube-proxy", "system:kube-proxy", ""),
            (
                "kubelet-client",
                &format!("system:node:{NAME}"),
                "system:nodes",
            ),
        ] {
            identify(&ca, user, common_name, group)?;
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

fn ca() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "cluster-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server's certificate for these names and addresses.
fn serve(ca: &CertifiedIssuer<'_, KeyPair>, name: &str, alternatives: &[&str]) -> Result<()> {
    let alternatives: Vec<String> = alternatives.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(alternatives)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(ca, name, params)
}

/// A client's certificate: Kubernetes reads the user from the common name and the group from the
/// organisation.
fn identify(ca: &CertifiedIssuer<'_, KeyPair>, name: &str, user: &str, group: &str) -> Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    if !group.is_empty() {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(ca, name, params)
}

fn sign(
    ca: &CertifiedIssuer<'_, KeyPair>,
    name: &str,
    mut params: CertificateParams,
) -> Result<()> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let own_key = KeyPair::generate()?;
    write(certificate(name), &params.signed_by(&own_key, ca)?.pem())?;
    write(key(name), &own_key.serialize_pem())
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
            "openssl made no key: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

fn write(path: impl Into<PathBuf>, text: &str) -> Result<()> {
    let path = path.into();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
