//! A Prometheus beside the test node, which finds the pods to scrape as the Prometheus operator's monitors say.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// A Prometheus that ends with this value.
pub struct Prometheus {
    _process: Child,
    directory: PathBuf,
}

impl Prometheus {
    /// Starts one with these groups of rules, as a PrometheusRule has them. Their durations are cut to seconds.
    ///
    /// # Panics
    /// When the program is missing.
    pub fn start(groups: &Value) -> Self {
        let program = std::env::var("PROMETHEUS")
            .expect("PROMETHEUS names the program: tests/delivery/run provides it");
        let directory = std::env::temp_dir().join(format!("prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("temporary files can be written");
        let write = |name: &str, text: String| {
            let file = directory.join(name);
            std::fs::write(&file, text).expect("temporary files can be written");
            file
        };
        let rules = write("rules.yaml", in_seconds(groups.clone()).to_string());
        let config = write("prometheus.yaml", config(&rules.to_string_lossy()));
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={ADDRESS}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        Self {
            _process: process.expect("PROMETHEUS is a program"),
            directory,
        }
    }

    /// The series of a query. None while it starts.
    pub async fn query(&self, query: &str) -> Vec<Value> {
        let parameter = format!("query={query}");
        let answer = self.get("query", &["--data-urlencode", &parameter]).await;
        answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// The names of the alerts that fire.
    pub async fn firing(&self) -> Vec<String> {
        let answer = self.get("alerts", &[]).await;
        let alerts = answer["data"]["alerts"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let firing = alerts.iter().filter(|it| it["state"] == "firing");
        let names = firing.filter_map(|it| it["labels"]["alertname"].as_str());
        names.map(str::to_owned).collect()
    }

    async fn get(&self, path: &str, arguments: &[&str]) -> Value {
        let url = format!("http://{ADDRESS}/api/v1/{path}");
        let output = Command::new("curl")
            .args(["--silent", "--get", &url])
            .args(arguments)
            .output()
            .await
            .expect("curl is there");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // What is left of it ends with the node.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Rules that look at seconds instead of minutes, and wait for one.
fn in_seconds(mut groups: Value) -> Value {
    for group in groups["groups"].as_array_mut().expect("it has groups") {
        for rule in group["rules"].as_array_mut().expect("a group has rules") {
            rule["for"] = json!("1s");
            let query = rule["expr"].as_str().expect("a rule has a query");
            rule["expr"] = json!(query.replace("[10m]", "[10s]").replace("[15m]", "[10s]"));
        }
    }
    groups
}

/// Scrapes every port named as the chart's ServiceMonitor and PodMonitor name it, with the labels that they add.
fn config(rules: &str) -> String {
    let kubeconfig = std::env::var("KUBECONFIG").expect("the test runs on a test node");
    let label = |source: &str, target: &str| {
        json!({
            "source_labels": [format!("__meta_kubernetes_{source}")],
            "target_label": target,
        })
    };
    let keep = json!({
        "action": "keep",
        "source_labels": ["__meta_kubernetes_pod_container_port_name"],
        "regex": "metrics|azwi-metrics",
    });
    let config = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "pods",
            "kubernetes_sd_configs": [{ "role": "pod", "kubeconfig_file": kubeconfig }],
            "relabel_configs": [keep, label("namespace", "namespace"), label("pod_name", "pod")],
        }],
    });
    config.to_string()
}

const ADDRESS: &str = "127.0.0.1:9090";
