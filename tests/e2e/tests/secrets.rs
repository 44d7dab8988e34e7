//! No secret leaves (law 8): searches everything that a run of the end-to-end tests has written. Test
//! programs run in the order of their names, this one last.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{
    Container, Namespace, PROXY_IMAGE, Pod, Writer, find_secret, kubectl, kubectl_json,
    shows_access_token,
};
use serde_json::{Value, json};

/// The logs of the pods that still exist, `NAMESPACE_NAME_UID/CONTAINER/RESTART.log`.
const POD_LOGS: &str = "/var/log/pods";
const SYSTEM: &str = "azure-workload-identity-system";
/// The kinds of objects that the product writes, or that describe it.
const KINDS: &str =
    "events,pods,configmaps,serviceaccounts,deployments,mutatingwebhookconfigurations";

#[tokio::test]
async fn no_log_event_metric_or_error_contains_a_secret() {
    run_a_verbose_proxy().await;
    let pods = list("pods").await;
    let mut found = Found {
        known: private_keys().await,
        ..Found::default()
    };

    let logs = std::env::var("CLUSTER_LOGS").expect("the test node sets CLUSTER_LOGS");
    for path in files(Path::new(&logs)) {
        found.file(&path, Writer::Product);
    }
    let of_product = containers_of_product(&pods);
    for path in files(Path::new(POD_LOGS)) {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let is_product = of_product.contains(&folder);
        found.product_logs += usize::from(is_product);
        let writer = if is_product {
            Writer::Product
        } else {
            Writer::Application
        };
        found.file(&path, writer);
    }
    let objects = kubectl(&["get", KINDS, "--all-namespaces", "-o", "yaml"]).await;
    found.text("kubectl get", &objects, Writer::Product);
    for (name, text) in metrics(&pods).await {
        found.text(&name, &text, Writer::Product);
    }

    assert!(found.secrets.is_empty(), "{}", found.secrets.join("\n"));
    assert!(found.product_logs >= 4, "{of_product:?}");
    assert!(
        found.access_tokens > 0,
        "the search finds the applications' own tokens"
    );
}

/// Runs a pod whose proxy logs everything it can, for a token and for an error.
async fn run_a_verbose_proxy() {
    let (namespace, _) = Namespace::with_identity("verbose").await;
    let ca = std::env::var("AZURE_CA_FILE").expect("the test node sets AZURE_CA_FILE");
    let proxy = Container::image("proxy", PROXY_IMAGE)
        .field("args", json!(["--log-level=all"]))
        .field("restartPolicy", json!("Always"))
        .field(
            "startupProbe",
            json!({ "exec": { "command": ["/proxy", "--probe"] }, "timeoutSeconds": 60 }),
        )
        .env("AZWI_METRICS_PORT", "9090")
        .env(contract::variable::LOOPBACK, "on")
        .env(
            contract::variable::CA_DATA,
            &fs::read_to_string(ca).expect("Azure's CA can be read"),
        );
    let ask = "for client in '' '&client_id=aaaaaaaa-0000-0000-0000-00000000dead'; do \
         curl --silent --max-time 30 -H Metadata:true \
         \"http://127.0.0.1:8000/metadata/identity/oauth2/token?resource=https://vault.azure.net$client\"; \
         echo; done; touch /tmp/done; sleep infinity";
    let pod = Pod::new("verbose")
        .init_container(proxy)
        .container(Container::shell("app", ask).writable_mount("temporary", "/tmp"))
        .volume(json!({ "name": "temporary", "emptyDir": {} }));
    namespace.apply(&pod.manifest()).await;
    namespace
        .exec(
            "verbose",
            "app",
            "until [ -e /tmp/done ]; do sleep 0.1; done",
        )
        .await;
    let log = namespace.log("verbose", "app").await;
    assert!(log.contains("access_token"), "{log}");
    assert!(log.contains("AADSTS700016"), "{log}");
}

/// The secrets that were found, and where.
#[derive(Default)]
struct Found {
    known: Vec<String>,
    secrets: Vec<String>,
    product_logs: usize,
    access_tokens: usize,
}

impl Found {
    fn file(&mut self, path: &Path, writer: Writer) {
        // A pod may end meanwhile, and its logs are removed with it.
        if let Ok(bytes) = fs::read(path) {
            let name = path.display().to_string();
            self.text(&name, &String::from_utf8_lossy(&bytes), writer);
        }
    }

    fn text(&mut self, name: &str, text: &str, writer: Writer) {
        for (number, line) in text.lines().enumerate() {
            if let Some(secret) = find_secret(line, writer, &self.known) {
                self.secrets
                    .push(format!("{name}:{}: {secret}", number + 1));
            }
            self.access_tokens += usize::from(shows_access_token(line));
        }
    }
}

/// The webhook's private keys: in base64 as in the Secret, and line by line.
async fn private_keys() -> Vec<String> {
    let secret = list_in(SYSTEM, "secret/azure-wi-webhook-server-cert").await;
    let data = secret["data"].as_object().expect("a secret has data");
    let keys: Vec<_> = data
        .iter()
        .filter(|(name, _)| name.ends_with(".key"))
        .filter_map(|(_, value)| value.as_str().map(str::to_owned))
        .collect();
    assert!(!keys.is_empty(), "the webhook keeps a CA");
    let pems = keys.iter().map(|key| STANDARD.decode(key).expect("base64"));
    let pems: Vec<_> = pems
        .map(|pem| String::from_utf8(pem).expect("a PEM is ASCII"))
        .collect();
    let lines = pems.iter().flat_map(|pem| pem.lines());
    let lines = lines.filter(|line| line.len() > 40).map(str::to_owned);
    keys.iter().cloned().chain(lines).collect()
}

/// The log folders of containers with the product's images.
fn containers_of_product(pods: &Value) -> BTreeSet<PathBuf> {
    let repository = PROXY_IMAGE
        .rsplit_once('/')
        .map_or("", |(before, _)| before);
    let mut folders = BTreeSet::new();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let of = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let [namespace, name, uid] = ["namespace", "name", "uid"].map(of);
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let containers = lists.iter().filter_map(|list| pod["spec"][list].as_array());
        for container in containers.flatten() {
            let text = |field: &str| container[field].as_str().unwrap_or_default();
            if text("image").starts_with(repository) {
                let pod = format!("{namespace}_{name}_{uid}");
                folders.insert(Path::new(POD_LOGS).join(pod).join(text("name")));
            }
        }
    }
    folders
}

/// The metrics of the webhook's replicas, and of the proxies that serve metrics.
async fn metrics(pods: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let of = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
        let (namespace, name) = (of("namespace"), of("name"));
        if pod["status"]["phase"] != "Running" {
            continue;
        }
        let text = if namespace == SYSTEM {
            let address = pod["status"]["podIP"].as_str().unwrap_or_default();
            let url = format!("http://{address}:8095/metrics");
            let curl = Command::new("curl")
                .args(["--silent", "--show-error", "--fail", &url])
                .output()
                .expect("curl is on the test node");
            assert!(curl.status.success(), "{curl:?}");
            String::from_utf8_lossy(&curl.stdout).into_owned()
        } else if pod["spec"].to_string().contains("AZWI_METRICS_PORT") {
            let application = pod["spec"]["containers"][0]["name"].as_str();
            let application = application.expect("a container has a name");
            let url = "http://127.0.0.1:9090/metrics";
            kubectl(&[
                "exec",
                "-n",
                namespace,
                name,
                "-c",
                application,
                "--",
                "/usr/bin/curl",
                "-s",
                "-f",
                url,
            ])
            .await
        } else {
            continue;
        };
        assert!(text.contains("azwi_"), "{text}");
        all.push((format!("metrics of {namespace}/{name}"), text));
    }
    assert!(
        all.len() >= 2,
        "the webhook and the verbose proxy have metrics"
    );
    all
}

async fn list(kind: &str) -> Value {
    kubectl_json(&["get", kind, "--all-namespaces"]).await
}

async fn list_in(namespace: &str, name: &str) -> Value {
    kubectl_json(&["get", name, "-n", namespace]).await
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
