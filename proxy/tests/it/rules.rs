//! Each rule of the wire contract has a test with its number, and each test that a document names
//! exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_rule_of_the_wire_contract_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = |name| fs::read_to_string(root.join("../docs").join(name)).unwrap();
    let contract = page("http-api.md") + &page("tested-claims.md");
    let rules: Vec<_> = contract
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|rule| is_rule(rule))
        .map(str::to_lowercase)
        .collect();
    assert_eq!(rules.len(), 16 + 15, "{rules:?}");
    let mut tested = BTreeSet::new();
    for file in files(&root.join("src"))
        .into_iter()
        .chain(files(&root.join("tests")))
    {
        let source = fs::read_to_string(file).unwrap();
        for name in source.split("fn ").skip(1) {
            let name = name.split('(').next().unwrap_or_default();
            tested.extend(name.split('_').map(str::to_owned));
        }
    }
    let missing: Vec<_> = rules
        .iter()
        .filter(|rule| !tested.contains(*rule))
        .collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
}

/// The page that links claims to tests names tests that exist.
#[test]
fn every_test_that_a_document_names_is_there() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut count = 0;
    let text = fs::read_to_string(documents.join("tested-claims.md")).unwrap();
    // [`name`](path)
    for link in text.split("[`").skip(1) {
        let (name, rest) = link.split_once("`](").unwrap_or_default();
        let (path, _) = rest.split_once(')').unwrap_or_default();
        if path.ends_with(".rs") {
            let source = fs::read_to_string(documents.join(path)).unwrap();
            let is_there = source.contains(&format!("fn {name}("));
            assert!(is_there, "no {name} in {path}");
            count += 1;
        }
    }
    assert!(count > 50, "{count} tests are named");
}

fn is_rule(text: &str) -> bool {
    let number = text.strip_prefix(['R', 'D']);
    number.is_some_and(|number| number.parse::<u8>().is_ok())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
