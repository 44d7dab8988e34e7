//! Measures a pod's start in each form of injection, in turns: from the API call to the application's first
//! line and to its first token. `make bench ARGS=start` runs it; `UPDATE_DOCS=1` writes the table of
//! `docs/performance.md`. `make test` does not run it, since other work on the machine would change the figures.

mod form;
mod measured;

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::Namespace;
use kube::Client;
use tokio::time::sleep;

use form::Form;
use measured::{Pods, Table};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance.md");
const PODS: usize = 15;

#[tokio::test]
async fn start() {
    let rounds = std::env::var("START_PODS").ok();
    let rounds = rounds.map_or(PODS, |count| count.parse().expect("START_PODS is a number"));
    let (namespace, _) = Namespace::with_identity("start").await;
    let client = Client::try_default().await.expect("the node's kubeconfig");
    let forms = Form::all(&namespace).await;
    let pods = Pods::new(client, &namespace);
    let mut table = Table::default();
    for round in 0..rounds {
        for form in &forms {
            at_phase_of(round).await;
            let start = pods.start(form, round).await;
            eprintln!("  round {}, {}: {start}", round + 1, form.name);
            table.add(form.name, start);
        }
    }
    let table = table.render();
    println!("\n{table}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = fs::read_to_string(PAGE).expect("the page is there");
        let (before, rest) = page.split_once(FIRST_CELL).expect("it has the table");
        let (_, after) = rest.split_once("\n\n").expect("text follows the table");
        fs::write(PAGE, format!("{before}{table}\n{after}")).expect("it can be written");
    }
}

/// The start of the table in the page.
const FIRST_CELL: &str = "| a pod";

/// Waits for another part of the second in each round. The kubelet looks at its containers once a second,
/// so pods that are all created at the same part of a second would measure only that.
async fn at_phase_of(round: usize) {
    const GOLDEN_RATIO: f64 = 0.618_033_988_75;
    let wanted = (round as f64 * GOLDEN_RATIO).fract();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("the clock is after 1970").as_secs_f64().fract();
    let wait = (wanted - now).rem_euclid(1.0);
    sleep(Duration::from_secs_f64(wait)).await;
}
