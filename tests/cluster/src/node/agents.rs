//! The programs that run the pods: containerd, the kubelet and kube-proxy.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use super::component::Components;
use super::{NAME, certificates, filesystem, kubeconfig, network};
use crate::prepare::{PAUSE_IMAGE, Tools};

/// containerd's socket.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// The folder with the network of pods. That of another handler is beside it, with `-` and the handler behind its name.
const CNI_CONFIG: &str = "/run/cluster/cni";

/// The handlers of RuntimeClasses whose pods have another network, each with the ranges of their addresses.
const OTHER_NETWORKS: [(&str, &[&str]); 2] = [
    ("ipv6", &[network::PODS_IPV6]),
    ("dual", &[network::PODS_DUAL, network::PODS_IPV6_DUAL]),
];

/// Starts containerd, with the pods' network set up first.
pub(super) fn start_containerd(components: &Components) -> Result<()> {
    write_network(CNI_CONFIG, "pods", &[network::PODS])?;
    for (handler, ranges) in OTHER_NETWORKS {
        write_network(&format!("{CNI_CONFIG}-{handler}"), handler, ranges)?;
    }
    write("/run/cluster/containerd.toml", &containerd_config())?;
    let mut containerd = components.command("containerd");
    containerd.args(["--config", "/run/cluster/containerd.toml"]);
    components.start("containerd", containerd)
}

/// Starts the kubelet.
pub(super) fn start_kubelet(components: &Components, tools: &Tools, cgroup: &str) -> Result<()> {
    write("/run/cluster/kubelet.json", &kubelet_config(cgroup))?;
    let mut kubelet = components.kubernetes(tools, "kubelet");
    kubelet.args([
        "--config=/run/cluster/kubelet.json",
        "--root-dir=/run/cluster/kubelet",
        &format!("--kubeconfig={}", kubeconfig::path("kubelet-client")),
        &format!("--hostname-override={NAME}"),
        &format!("--node-ip={}", network::NODE),
    ]);
    components.start("kubelet", kubelet)
}

/// Starts kube-proxy, through which pods reach Services such as the API server's.
pub(super) fn start_kube_proxy(components: &Components, tools: &Tools) -> Result<()> {
    let mut proxy = components.kubernetes(tools, "kube-proxy");
    proxy.args([
        &format!("--kubeconfig={}", kubeconfig::path("kube-proxy")),
        &format!("--hostname-override={NAME}"),
        "--proxy-mode=nftables",
        // This setting is the whole machine's, not the namespace's.
        "--conntrack-max-per-core=0",
    ]);
    components.start("kube-proxy", proxy)
}

/// Writes the configuration of a network of pods.
fn write_network(folder: &str, name: &str, ranges: &[&str]) -> Result<()> {
    let default = |range: &&str| {
        if range.contains(':') {
            "::/0"
        } else {
            "0.0.0.0/0"
        }
    };
    let routes: Vec<_> = ranges
        .iter()
        .map(|it| json!({"dst": default(it)}))
        .collect();
    let ranges: Vec<_> = ranges.iter().map(|it| json!([{"subnet": it}])).collect();
    let config = json!({
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": ranges,
                "routes": routes,
                "dataDir": "/run/cluster/addresses",
            },
        }],
    });
    fs::create_dir_all(folder)?;
    write(&format!("{folder}/10-{name}.conflist"), &config.to_string())
}

fn containerd_config() -> String {
    let mut config = format!(
        r#"version = 3
root = "/run/cluster/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{CNI_CONFIG}"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    );
    for (handler, _) in OTHER_NETWORKS {
        config += &format!(
            r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{handler}]
runtime_type = "io.containerd.runc.v2"
cni_conf_dir = "{CNI_CONFIG}-{handler}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{handler}.options]
SystemdCgroup = false
"#
        );
    }
    config
}

fn kubelet_config(cgroup: &str) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        "failCgroupV1": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "clusterDNS": [network::NODE],
        "clusterDomain": "cluster.local",
        "resolvConf": filesystem::RESOLV_CONF,
        "maxPods": 250,
        "volumePluginDir": "/run/cluster/volume-plugins",
        // A change of a mounted ConfigMap or Secret arrives in seconds, not in a minute.
        "syncFrequency": "2s",
        "kubeAPIQPS": 1000,
        "kubeAPIBurst": 1000,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": certificates::CA},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": certificates::certificate("kubelet"),
        "tlsPrivateKeyFile": certificates::key("kubelet"),
        // The kubelet must not evict pods or remove images when the machine's disk is nearly full.
        "evictionHard": {
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
    })
    .to_string()
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {path}"))
}
