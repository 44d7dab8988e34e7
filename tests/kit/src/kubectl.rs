//! The real kubectl, as a user runs it. The test node puts it on the `PATH` and sets `KUBECONFIG`.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::poll::until;

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

/// One manifest of several objects.
pub fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// Runs kubectl with `input` on its standard input and returns its output, warnings included.
///
/// # Panics
///
/// When kubectl fails: with its error.
pub async fn kubectl_with_input(args: &[&str], input: &str) -> String {
    let printed = with_warnings(args, input).await;
    printed.unwrap_or_else(|error| panic!("kubectl {args:?} failed: {error}"))
}

/// As [`kubectl_with_input`], but again while the webhook refuses with `Try again`, at most a minute. It does
/// so when the API server has not answered a look-up in time, as on a busy machine; a Deployment's controller
/// tries again, too.
///
/// # Panics
///
/// When kubectl fails otherwise, or for a minute: with its error.
pub async fn kubectl_retrying(args: &[&str], input: &str) -> String {
    let ask = async || with_warnings(args, input).await;
    let is_final = |printed: &Result<String, String>| {
        let error = printed.as_ref().err();
        error.is_none_or(|it| !it.contains("(ServiceUnavailable)") || !it.contains("Try again"))
    };
    let printed = until("the webhook to admit the object", ask, is_final).await;
    printed.unwrap_or_else(|error| panic!("kubectl {args:?} failed: {error}"))
}

/// Runs kubectl with `input`, which must fail, and returns its error.
///
/// # Panics
///
/// When kubectl succeeds.
pub async fn kubectl_error(args: &[&str], input: &str) -> String {
    match outputs(args, input).await {
        Ok((printed, _)) => panic!("kubectl {args:?} succeeded: {printed}"),
        Err(error) => error,
    }
}

/// Runs kubectl with `input` and returns its output.
///
/// # Errors
///
/// kubectl's error, when it fails.
pub async fn try_kubectl(args: &[&str], input: &str) -> Result<String, String> {
    let printed = outputs(args, input).await;
    printed.map(|(printed, _)| printed)
}

async fn with_warnings(args: &[&str], input: &str) -> Result<String, String> {
    let printed = outputs(args, input).await;
    printed.map(|(printed, warnings)| printed + &warnings)
}

/// Standard output and standard error, or kubectl's error.
async fn outputs(args: &[&str], input: &str) -> Result<(String, String), String> {
    let output = run(args, input).await;
    let [printed, errors] =
        [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    if output.status.success() {
        Ok((printed, errors))
    } else {
        Err(errors)
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
