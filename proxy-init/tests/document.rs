//! proxy-init's part of `docs/flags-and-metrics.md`.

use std::process::Command;

#[test]
fn variables_are_those_of_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_proxy-init"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variables = document::help::variables(&help, "Environment (default):");
    document::hold("proxy-init variables", &variables).unwrap();
}
