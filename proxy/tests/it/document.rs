//! `docs/proxy.md` says what the program does.

use std::collections::BTreeSet;

use crate::entra::Entra;
use crate::process::{BINARY, program, run};
use crate::raw::exchange;
use crate::sidecar::{Sidecar, TokenFile, config};

fn document() -> String {
    let path = format!("{}/../docs/proxy.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The cells of the rows whose first cell begins with this.
fn rows<'a>(document: &'a str, start: &str) -> Vec<Vec<&'a str>> {
    let rows = document.lines().map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim_matches([' ', '`']))
            .collect::<Vec<_>>()
    });
    rows.filter(|cells| cells[0] != "---" && cells[0].starts_with(start))
        .collect()
}

#[tokio::test]
async fn flags_variables_and_defaults_are_those_of_help() {
    let help = run(program(BINARY).arg("--help")).await;
    let help = String::from_utf8(help.stdout).unwrap();
    let mut offered = Vec::new();
    for part in help.split("\n      --").skip(1) {
        let of = |name: &str| {
            let (_, rest) = part.split_once(&format!("[{name}: "))?;
            Some(rest.split([']', '=']).next()?.trim_matches('"').to_owned())
        };
        let flag = part.split([' ', '[', '\n']).next().unwrap();
        let found = [
            format!("--{flag}"),
            of("env").unwrap_or_default(),
            of("default").unwrap_or_default(),
        ];
        offered.push(found);
    }
    offered.retain(|[flag, ..]| flag != "--version");
    assert!(offered.len() > 10, "{help}");
    let document = document();
    let rows = rows(&document, "--");
    let described: Vec<_> = rows
        .iter()
        .map(|row| [0, 1, 2].map(|nth| row[nth].to_owned()))
        .collect();
    assert_eq!(described, offered);
    let (_, more) = help.split_once("Variables without a flag:").unwrap();
    let names = more.split(|character: char| !character.is_ascii_uppercase() && character != '_');
    for name in names.filter(|name| name.contains('_')) {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("| `{code}` | {} |", meaning.trim());
        assert!(
            document.replace("`--probe`", "--probe").contains(&row),
            "{row}"
        );
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
    let samples = scraped.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<_> = samples
        .map(|line| {
            let name = line.split(['{', ' ']).next().unwrap();
            let parts = ["_bucket", "_sum", "_count"];
            parts
                .iter()
                .fold(name, |name, part| name.trim_end_matches(part))
        })
        .collect();
    let document = document();
    let rows = rows(&document, "azwi_proxy_");
    assert_eq!(
        rows.iter().map(|row| row[0]).collect::<BTreeSet<_>>(),
        names
    );
    for row in rows {
        for label in row[1].split(", ").map(|label| label.trim_matches('`')) {
            let line = scraped
                .lines()
                .find(|line| line.starts_with(row[0]))
                .unwrap();
            assert!(line.contains(&format!("{label}=\"")), "{label}: {line}");
        }
    }
    for outcome in scraped.split("outcome=\"").skip(1) {
        let outcome = outcome.split('"').next().unwrap();
        assert!(document.contains(&format!("`{outcome}`")), "{outcome}");
    }
}
