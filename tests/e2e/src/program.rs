//! A shell in the checkout, which finds `azwi`, and the emulated Azure's `az`.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

/// Runs a line of shell, which has to succeed, and returns what it wrote.
///
/// # Panics
///
/// When it fails.
pub async fn run(line: &str) -> String {
    let output = shell(line).await;
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output)
}

/// Runs a line of shell.
///
/// # Panics
///
/// When it writes a token.
pub async fn shell(line: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let test = std::env::current_exe().expect("the test has a path");
    // Cargo puts tests into a folder beside the programs.
    let programs = test.parent().and_then(Path::parent).expect("target/debug");
    assert!(programs.join("azwi").exists(), "azwi is not built");
    let path = std::env::var("PATH").expect("the node sets PATH");
    let azure = root.join("tests/e2e/azure-cli");
    let path = format!("{}:{}:{path}", programs.display(), azure.display());
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", line])
        .current_dir(root)
        .stdin(Stdio::null())
        .env("PATH", path);
    let output = command.output().await.expect("bash is on the machine");
    // Every token of the cluster and of Entra begins so.
    assert!(!text(&output).contains("eyJ"), "a token: {}", text(&output));
    output
}

/// What a program wrote.
#[must_use]
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
