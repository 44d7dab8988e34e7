//! The real kubectl, as a user runs it. The test node puts it on the `PATH` and sets `KUBECONFIG`.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs kubectl and returns its output.
///
/// # Panics
///
/// When kubectl fails: with its error.
pub async fn kubectl(args: &[&str]) -> String {
    kubectl_with_input(args, "").await
}

/// Runs `kubectl ARGS -o json` and returns the object.
///
/// # Panics
///
/// When kubectl fails: with its error.
pub async fn kubectl_json(args: &[&str]) -> Value {
    let printed = kubectl(&[args, &["-o", "json"]].concat()).await;
    serde_json::from_str(&printed).expect("kubectl prints JSON")
}

/// Runs kubectl with `input` on its standard input and returns its output, warnings included.
///
/// # Panics
///
/// When kubectl fails: with its error.
pub async fn kubectl_with_input(args: &[&str], input: &str) -> String {
    let output = run(args, input).await;
    let (out, err) = text(&output);
    assert!(output.status.success(), "kubectl {args:?} failed: {err}");
    out + &err
}

/// Runs kubectl with `input`, which must fail, and returns its error.
///
/// # Panics
///
/// When kubectl succeeds.
pub async fn kubectl_error(args: &[&str], input: &str) -> String {
    let output = run(args, input).await;
    let (out, err) = text(&output);
    assert!(
        !output.status.success(),
        "kubectl {args:?} succeeded: {out}"
    );
    err
}

/// Runs kubectl with `input` and returns its output.
///
/// # Errors
///
/// kubectl's error, when it fails.
pub async fn try_kubectl(args: &[&str], input: &str) -> Result<String, String> {
    let output = run(args, input).await;
    let (out, err) = text(&output);
    if output.status.success() {
        Ok(out)
    } else {
        Err(err)
    }
}

async fn run(args: &[&str], input: &str) -> Output {
    assert!(
        std::env::var_os("AZURE_CONTROL").is_some(),
        "these tests need the test node: run them with `make test`, or `make e2e` for them alone"
    );
    let mut child = Command::new("kubectl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is on the PATH of the test node");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(input.as_bytes())
        .await
        .expect("kubectl reads its input");
    drop(stdin);
    child.wait_with_output().await.expect("kubectl ends")
}

fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
