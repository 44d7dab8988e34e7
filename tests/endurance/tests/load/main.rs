//! Measures the product on a busy node and prints the table of `docs/load.md`; `UPDATE_DOCS=1` writes
//! it there. `make load` runs it. `make test` does not, since other work on the machine would change
//! the figures.

mod starts;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use contract::container::PROXY;
use e2e::hammer::{sees, statuses};
use e2e::{Container, Namespace, Pod, create_at_once, kubectl};
use serde_json::{Value, json};
use testkit::process::{cpu_ticks, pids, resident_kib};
use tokio::time::sleep;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/load.md");
const PODS: usize = 100;
const RATE: u32 = 100;
const SECONDS: u32 = 30;
/// The part of that time in which CPU time is measured.
const MEASURED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn load() {
    let mut rows = Vec::new();
    rows.push(many_pods().await);
    rows.extend(starts::rows().await);
    rows.extend(many_askers().await);
    rows.extend(noisy_neighbour().await);
    let table = format!("| load | outcome |\n|---|---|\n{}\n", rows.join("\n"));
    println!("\n{table}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = fs::read_to_string(PAGE).expect("the page is there");
        let (before, _) = page.split_once("| load |").expect("it has the table last");
        fs::write(PAGE, format!("{before}{table}")).expect("it can be written");
    }
}

async fn many_pods() -> String {
    const COUNT: usize = 2_000;
    let (namespace, _) = Namespace::with_identity("many").await;
    let tally = create_at_once(&namespace, COUNT).await;
    tally.assert_all_injected();
    kubectl(&["delete", "namespace", namespace.name(), "--wait=true"]).await;
    format!(
        "| {COUNT} pods created at once | all admitted and injected, {:.0} a second: what the API server takes |",
        tally.rate()
    )
}

async fn many_askers() -> Vec<String> {
    let (namespace, _) = Namespace::with_identity("askers").await;
    let signal = Signal::new("askers");
    let names: Vec<_> = (0..PODS).map(|number| format!("asker-{number}")).collect();
    for name in &names {
        let pod = signal
            .mounted(Pod::new(name).with_proxy())
            .container(asker());
        namespace.apply(&pod.manifest()).await;
    }
    for name in &names {
        sees(&namespace, name, "app", "ready").await;
    }
    let proxies = pids("proxy");
    signal.go();
    // In the middle of the load: a proxy ends with its application.
    sleep(Duration::from_secs(5)).await;
    let before = ticks(&proxies);
    sleep(MEASURED).await;
    let ticks = ticks(&proxies) - before;
    let largest = proxies.iter().copied().filter_map(resident_kib).max();
    let figures = figures(&namespace, &names).await;
    assert_eq!(figures.failures, 0, "a request failed");
    kubectl(&["delete", "namespace", namespace.name(), "--wait=true"]).await;
    // A tick is a hundredth of a second.
    let share = ticks as f64 / MEASURED.as_secs_f64();
    vec![
        format!(
            "| {PODS} pods with a proxy each, {RATE} requests a second each, {SECONDS} s | {} tokens, {} failures; p50 {}, p99 {} |",
            figures.tokens,
            figures.failures,
            figures.quantile(0.5),
            figures.quantile(0.99)
        ),
        format!(
            "| the same | all proxies together take {share:.0} % of one core; the largest holds {:.1} MiB |",
            largest.unwrap_or_default() as f64 / 1024.0
        ),
    ]
}

/// Measures an application beside a container that opens connections and never reads.
async fn noisy_neighbour() -> Vec<String> {
    let (namespace, _) = Namespace::with_identity("noisy").await;
    let mut rows = Vec::new();
    for (name, title, script) in [
        ("alone", "one pod, 100 requests a second", ""),
        (
            "beside",
            "the same, beside a container that opens connections without end, asks on each and never reads",
            NOISE,
        ),
    ] {
        let signal = Signal::new(name);
        let pod = signal
            .mounted(Pod::new(name).with_proxy())
            .container(asker());
        let noise = Container::new("noise", &["/usr/bin/python3", "-ISc", script]);
        let pod = if script.is_empty() {
            pod
        } else {
            pod.container(noise)
        };
        namespace.apply(&pod.manifest()).await;
        sees(&namespace, name, "app", "ready").await;
        signal.go();
        let figures = figures(&namespace, &[name.to_owned()]).await;
        assert_eq!(figures.failures, 0, "a request failed");
        let restarts = namespace.until(name, |_| true).await;
        let restarts = statuses(&restarts)
            .find(|status| status.name == PROXY)
            .map(|status| status.restart_count);
        assert_eq!(restarts, Some(0), "the proxy stays");
        rows.push(format!(
            "| {title} | {} tokens, {} failures; p50 {}, p99 {} |",
            figures.tokens,
            figures.failures,
            figures.quantile(0.5),
            figures.quantile(0.99)
        ));
    }
    rows
}

const NOISE: &str = "
import socket
from collections import deque
held = deque(maxlen=5000)
while True:
    try:
        connection = socket.create_connection(('169.254.169.254', 80), timeout=1)
        connection.setblocking(False)
        connection.send(b'GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\n\\r\\n' * 20)
        held.append(connection)
    except OSError:
        pass
";

/// The results of a group of askers.
#[derive(Default)]
struct Figures {
    tokens: u64,
    failures: u64,
    latencies: BTreeMap<u64, u64>,
}

impl Figures {
    /// The latency that this part of the requests stays below, in milliseconds with the unit.
    fn quantile(&self, part: f64) -> String {
        let wanted = (self.tokens as f64 * part).ceil() as u64;
        let mut seen = 0;
        let found = self.latencies.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        let micros = found.map_or(0, |(bound, _)| *bound);
        format!("{:.2} ms", micros as f64 / 1000.0)
    }
}

async fn figures(namespace: &Namespace, pods: &[String]) -> Figures {
    let mut all = Figures::default();
    for pod in pods {
        namespace.container_ended(pod, "app").await;
        let log = namespace.log(pod, "app").await;
        let line = log.lines().last().unwrap_or_default();
        let result: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{log}: {error}"));
        all.tokens += result["tokens"].as_u64().expect("a number");
        all.failures += result["failures"].as_u64().expect("a number");
        for (bound, count) in result["latencies"].as_object().expect("an object") {
            *all.latencies
                .entry(bound.parse().expect("a number"))
                .or_default() += count.as_u64().expect("a number");
        }
    }
    all
}

fn ticks(pids: &[u32]) -> u64 {
    pids.iter().copied().filter_map(cpu_ticks).sum()
}

/// A folder whose file `go` starts the askers.
struct Signal(PathBuf);

impl Signal {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("load-{name}-{}", std::process::id()));
        fs::create_dir(&folder).expect("it can be made");
        Self(folder)
    }

    fn mounted(&self, pod: Pod) -> Pod {
        let host = |path: &str, kind: &str| json!({ "path": path, "type": kind });
        let folder = self.0.to_string_lossy();
        pod.volume(json!({ "name": "signal", "hostPath": host(&folder, "Directory") }))
            .volume(
                json!({ "name": "asker", "hostPath": host(env!("CARGO_BIN_EXE_asker"), "File") }),
            )
    }

    fn go(&self) {
        fs::write(self.0.join("go"), "").expect("it can be written");
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn asker() -> Container {
    let [rate, seconds] = [RATE, SECONDS].map(|number| number.to_string());
    Container::new("app", &["/asker", &rate, &seconds])
        .mount("asker", "/asker")
        .mount("signal", "/signal")
}
