//! Reads the token file in a running container, with `kubectl exec` and the container's own `cat`. The token is dropped at
//! once.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use contract::{container, variable};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;
use webhook::inject::printable;

use super::reader::{Reader, Resource};
use super::token;
use crate::facts::object::Object;
use crate::facts::token_file::{Content, TokenFile};
use crate::facts::{Facts, Gap};

/// The token files of one running pod of the target. `connection` are kubectl's arguments for the cluster.
pub(super) async fn read(
    reader: &mut Reader,
    facts: &Facts,
    connection: &[OsString],
) -> Vec<TokenFile> {
    let pods: Vec<Object> = facts.pods.iter().map(|it| it.object.clone()).collect();
    for pod in pods {
        let containers = running(reader, &pod).await;
        if containers.is_empty() {
            continue;
        }
        let mut files = Vec::new();
        for (container, path) in containers {
            match content(connection, &pod, &container, &path).await {
                Ok(content) => files.push(TokenFile {
                    container,
                    pod: pod.clone(),
                    path,
                    content,
                    read_at: now(),
                }),
                Err(reason) => reader.gaps.push(Gap {
                    verb: "create",
                    resource: "pods/exec".to_owned(),
                    namespace: Some(pod.namespace.clone()),
                    is_forbidden: reason.contains("Forbidden"),
                    reason: format!("container {container}: {reason}"),
                }),
            }
        }
        return files;
    }
    reader.gaps.push(Gap {
        verb: "create",
        resource: "pods/exec".to_owned(),
        namespace: facts.target.as_ref().map(|it| it.namespace.clone()),
        is_forbidden: false,
        reason: "no pod runs that has a token file".to_owned(),
    });
    Vec::new()
}

/// The running containers of a pod that have a token file, with its path.
async fn running(reader: &mut Reader, pod: &Object) -> Vec<(String, String)> {
    let text = reader.get(PODS, Some(&pod.namespace), &pod.name).await;
    let wire = text.ok().flatten();
    let Some(Wire { spec, status }) = wire.and_then(|it| serde_json::from_str(&it).ok()) else {
        return Vec::new();
    };
    let statuses = status.container_statuses.unwrap_or_default();
    let runs = |name: &str| {
        let mut statuses = statuses.iter();
        statuses.any(|it| it.name == name && it.state.running.is_some())
    };
    let containers = spec.containers.into_iter();
    containers
        .filter(|it| it.name != container::PROXY && runs(&it.name))
        .filter_map(|it| {
            let mut variables = it.env.into_iter().flatten();
            let file = variables.find(|it| it.name == variable::FEDERATED_TOKEN_FILE)?;
            Some((it.name, file.value?))
        })
        .collect()
}

/// What `cat` writes in the container. The error says why it could not run.
async fn content(
    connection: &[OsString],
    pod: &Object,
    container: &str,
    path: &str,
) -> Result<Content, String> {
    let mut command = Command::new("kubectl");
    command
        .args(connection)
        .args(["exec", "--namespace", &pod.namespace, &pod.name])
        .args(["--container", container, "--", "cat", path])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match timeout(TIMEOUT, output(command)).await {
        Ok(Ok(content)) => content,
        Ok(Err(error)) => Err(format!(
            "kubectl does not start: {error}. Install it, or leave --exec out"
        )),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

async fn output(mut command: Command) -> std::io::Result<Result<Content, String>> {
    let mut child = command.spawn()?;
    let (mut token, mut errors) = (String::new(), String::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
        let mut stdout = stdout.take(MAX_BYTES);
        let mut stderr = stderr.take(MAX_BYTES);
        // What is no text is no token.
        let (read, _) = tokio::join!(
            stdout.read_to_string(&mut token),
            stderr.read_to_string(&mut errors)
        );
        if read.is_err() {
            token.clear();
        }
    }
    // What is longer ends with a broken pipe.
    let status = child.wait().await?;
    if status.success() {
        return Ok(Ok(of_text(&token)));
    }
    Ok(failure(&errors))
}

fn of_text(text: &str) -> Content {
    match token::claims_of(text.trim()) {
        Some((_, claims)) if claims.exp > 0 => Content::Token {
            expires: claims.exp,
            audiences: claims.aud,
        },
        _ => Content::Other,
    }
}

/// What kubectl wrote: the program's error when it ran, or why it did not run.
fn failure(errors: &str) -> Result<Content, String> {
    let first = errors.lines().find(|it| !it.trim().is_empty());
    let first = printable(first.unwrap_or("kubectl failed without a text"));
    let has_no_program = NO_PROGRAM.iter().any(|it| errors.contains(it));
    if has_no_program {
        return Err("it has no program cat".to_owned());
    }
    if errors.contains("command terminated with exit code") {
        return Ok(Content::Unreadable(first));
    }
    Err(first)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX))
}

#[derive(Deserialize)]
struct Wire {
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Spec {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    env: Option<Vec<Variable>>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    name: String,
    #[serde(default)]
    state: State,
}

#[derive(Default, Deserialize)]
struct State {
    running: Option<serde::de::IgnoredAny>,
}

/// How runtimes say that the container lacks a program.
const NO_PROGRAM: [&str; 3] = [
    "executable file not found",
    "no such file or directory: unknown",
    "exit code 127",
];
const PODS: Resource = Resource::new("v1", "pods", "Pod");
/// A token has some 2 KB.
const MAX_BYTES: u64 = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_out_from_kubectls_errors_whether_the_program_ran() {
        let unreadable = "cat: /token: Permission denied\ncommand terminated with exit code 1\n";
        assert_eq!(
            failure(unreadable),
            Ok(Content::Unreadable(
                "cat: /token: Permission denied".to_owned()
            ))
        );
        let none = "error: Internal error occurred: failed to exec in container: OCI runtime exec failed: exec: \"cat\": \
                    executable file not found in $PATH: unknown";
        assert_eq!(failure(none), Err("it has no program cat".to_owned()));
        let forbidden =
            "Error from server (Forbidden): pods \"shop\" is forbidden: User \"u\" cannot create";
        assert_eq!(failure(forbidden), Err(forbidden.to_owned()));
    }

    #[test]
    fn a_text_that_is_not_a_token_is_something_else() {
        for text in ["", "a.b.c", "eyJ.eyJ", "{}"] {
            assert_eq!(of_text(text), Content::Other, "{text}");
        }
    }
}
