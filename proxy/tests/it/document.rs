//! The proxy's part of `docs/flags-and-metrics.md`, and its exit codes in `docs/messages.md`.

use crate::entra::Entra;
use crate::process::{BINARY, program, run};
use crate::raw::exchange;
use crate::sidecar::{Sidecar, TokenFile, config};

fn page(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn flags_variables_and_exit_codes_are_those_of_help() {
    let help = run(program(BINARY).arg("--help")).await;
    let help = String::from_utf8(help.stdout).unwrap();
    document::hold("proxy flags", &document::help::flags(&help, |_| None)).unwrap();
    let variables = document::help::variables(&help, "Variables without a flag:");
    document::hold("proxy variables", &variables).unwrap();
    let page = page("messages.md");
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("<a id=\"proxy-{code}\"></a>`{code}` | {} |", meaning.trim());
        assert!(page.contains(&row), "{row}");
    }
}

#[tokio::test]
async fn metrics_are_those_of_a_scrape() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let mut config = config(&entra, &file, &[]);
    config.metrics_port = Some(0);
    let sidecar = Sidecar::start_with(config, file).await;
    sidecar.token("resource=a").await;
    let port = sidecar.metrics_address.unwrap().port();
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let scraped = exchange(([127, 0, 0, 1], port).into(), head).await.body;
    document::hold("proxy metrics", &document::scrape::metrics(&scraped)).unwrap();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(scraped.contains(&version), "{scraped}");
    let page = page("flags-and-metrics.md");
    for outcome in scraped.split("outcome=\"").skip(1) {
        let outcome = outcome.split('"').next().unwrap();
        assert!(page.contains(&format!("`{outcome}`")), "{outcome}");
    }
}
