//! etcd, the API server, the controllers and the scheduler.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::certificates::{self, Certificates};
use super::component::Components;
use super::{filesystem, kubeconfig, network};
use crate::prepare::Tools;

/// The issuer in every service account token.
const ISSUER: &str = "https://oidc.cluster.example/11111111-2222-3333-4444-555555555555/";
const ETCD: &str = "http://127.0.0.1:2379";
const AUDIT_POLICY: &str = "/run/cluster/audit-policy.json";

/// Starts etcd without fsync: its data ends with the node anyway.
pub(super) fn start_etcd(components: &Components) -> Result<()> {
    let mut etcd = components.command("etcd");
    etcd.args([
        "--data-dir=/run/cluster/etcd",
        "--unsafe-no-fsync",
        &format!("--listen-client-urls={ETCD}"),
        &format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]);
    components.start("etcd", etcd)
}

/// Starts the API server.
pub(super) fn start_api_server(
    components: &Components,
    tools: &Tools,
    _made: &Certificates,
) -> Result<()> {
    fs::write(AUDIT_POLICY, audit_policy())
        .with_context(|| format!("cannot write {AUDIT_POLICY}"))?;
    // The API server appends to the file, and the user's folder may have the log of another run.
    let audit_log = format!("{}/audit.log", filesystem::LOGS);
    fs::write(&audit_log, "").with_context(|| format!("cannot write {audit_log}"))?;
    let mut server = components.kubernetes(tools, "kube-apiserver");
    server.args([
        &format!("--audit-policy-file={AUDIT_POLICY}"),
        &format!("--audit-log-path={audit_log}"),
        &format!("--advertise-address={}", network::NODE),
        &format!("--service-cluster-ip-range={}", network::SERVICES),
        &format!("--etcd-servers={ETCD}"),
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        // So that a restart does not wait a minute for watches to end.
        "--shutdown-watch-termination-grace-period=1s",
        // Entra reads the keys of service account tokens without credentials.
        "--anonymous-auth=true",
        // The API server calls webhooks at their pods, since it has no Service network.
        "--enable-aggregator-routing=true",
        "--kubelet-preferred-address-types=InternalIP",
        &format!("--client-ca-file={}", certificates::CA),
        &format!(
            "--tls-cert-file={}",
            certificates::certificate("kube-apiserver")
        ),
        &format!(
            "--tls-private-key-file={}",
            certificates::key("kube-apiserver")
        ),
        &format!("--kubelet-certificate-authority={}", certificates::CA),
        &format!(
            "--kubelet-client-certificate={}",
            certificates::certificate("kube-apiserver-client")
        ),
        &format!(
            "--kubelet-client-key={}",
            certificates::key("kube-apiserver-client")
        ),
        &format!("--service-account-issuer={ISSUER}"),
        &format!(
            "--service-account-jwks-uri=https://{}:6443/openid/v1/jwks",
            network::NODE
        ),
        &format!("--service-account-key-file={}", certificates::TOKEN_KEY),
        &format!(
            "--service-account-signing-key-file={}",
            certificates::TOKEN_KEY
        ),
    ]);
    components.start("kube-apiserver", server)
}

/// Audits webhooks' annotations on new pods, and the API calls of webhooks and other pods.
fn audit_policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            {
                "level": "Metadata",
                "verbs": ["create"],
                "resources": [{"group": "", "resources": ["pods"]}],
            },
            {
                "level": "None",
                "userGroups": ["system:masters", "system:nodes", "system:serviceaccounts:kube-system"],
            },
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        ],
    })
    .to_string()
}

/// Starts the controllers and the scheduler.
pub(super) fn start_controllers(components: &Components, tools: &Tools) -> Result<()> {
    let mut manager = components.kubernetes(tools, "kube-controller-manager");
    manager.args([
        &format!(
            "--kubeconfig={}",
            kubeconfig::path("kube-controller-manager")
        ),
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        // Every controller requests its own account first. At the default of 20 a second, that takes 4 s.
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
        &format!("--root-ca-file={}", certificates::CA),
        &format!(
            "--service-account-private-key-file={}",
            certificates::TOKEN_KEY
        ),
        &format!("--cluster-signing-cert-file={}", certificates::CA),
        &format!("--cluster-signing-key-file={}", certificates::CA_KEY),
    ]);
    components.start("kube-controller-manager", manager)?;

    let mut scheduler = components.kubernetes(tools, "kube-scheduler");
    scheduler.args([
        &format!("--kubeconfig={}", kubeconfig::path("kube-scheduler")),
        "--leader-elect=false",
    ]);
    components.start("kube-scheduler", scheduler)
}

/// Lets everyone read the public keys of service account tokens.
pub(super) fn publish_keys(components: &Components) -> Result<()> {
    components
        .run(components.command("kubectl").args([
            "create",
            "clusterrolebinding",
            "token-keys-are-public",
            "--clusterrole=system:service-account-issuer-discovery",
            "--group=system:unauthenticated",
        ]))
        .map(|_| ())
}
