//! Shell lines, and files that end with the node.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

/// The root of the checkout, where the lines run.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A path for a file that is removed with the node.
///
/// # Panics
///
/// When the test does not run on the test node.
pub fn path(name: &str) -> PathBuf {
    let logs = std::env::var("CLUSTER_LOGS").expect("`make delivery` runs these on a test node");
    Path::new(&logs).with_file_name(name)
}

/// Writes a file that is removed with the node, and returns its path.
///
/// # Panics
///
/// When it cannot be written.
pub fn file(name: &str, text: &str) -> String {
    let path = path(name);
    std::fs::write(&path, text).expect("the file can be written");
    path.display().to_string()
}

/// Runs shell lines at the root of the checkout, and returns their output.
///
/// # Panics
///
/// When they fail: with their output.
pub async fn shell(lines: &str) -> String {
    let output = run(lines).await;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(output.status.success(), "{lines}\nfailed: {printed}");
    printed
}

async fn run(lines: &str) -> Output {
    let mut bash = Command::new("bash");
    bash.current_dir(ROOT)
        .args(["-euo", "pipefail", "-c", lines])
        .stdin(Stdio::null());
    bash.output().await.expect("bash starts")
}
