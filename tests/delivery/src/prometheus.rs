//! A Prometheus on the test node, which scrapes what the Prometheus operator's monitors of the chart name.

use std::path::PathBuf;
use std::process::Stdio;

use e2e::kubectl_json;
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
    ///
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
        let targets = write(TARGETS, "[]".to_owned());
        let config = write(
            "prometheus.yaml",
            config(&rules.to_string_lossy(), &targets.to_string_lossy()),
        );
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
        self.find_targets().await;
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

impl Prometheus {
    /// Writes the pods as they are. Debian's Prometheus cannot ask the API server itself.
    async fn find_targets(&self) {
        let pods = kubectl_json(&["get", "pods", "--all-namespaces"]).await;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let targets: Vec<Value> = pods.iter().filter_map(target).collect();
        let new = self.directory.join("new");
        std::fs::write(&new, Value::from(targets).to_string())
            .expect("temporary files can be written");
        std::fs::rename(new, self.directory.join(TARGETS)).expect("temporary files can be written");
    }
}

/// A pod with a port that the chart's ServiceMonitor or PodMonitor names, and the labels that they add.
fn target(pod: &Value) -> Option<Value> {
    let lists = ["containers", "initContainers"].map(|it| pod["spec"][it].as_array());
    let containers = lists.into_iter().flatten().flatten();
    let mut ports = containers.filter_map(|it| it["ports"].as_array()).flatten();
    let port = ports.find(|it| it["name"] == "metrics" || it["name"] == "azwi-metrics")?;
    let address = pod["status"]["podIP"].as_str()?;
    Some(json!({
        "targets": [format!("{address}:{}", port["containerPort"])],
        "labels": { "namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"] },
    }))
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

fn config(rules: &str, targets: &str) -> String {
    let config = json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "pods",
            "file_sd_configs": [{ "files": [targets], "refresh_interval": "1s" }],
        }],
    });
    config.to_string()
}

const ADDRESS: &str = "127.0.0.1:9090";
const TARGETS: &str = "targets.json";
