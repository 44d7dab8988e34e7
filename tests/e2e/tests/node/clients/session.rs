//! A client's process in the pod: it reads a line and answers with a line of JSON.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use e2e::{Writer, find_secret};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use super::assert_is_for;
use super::pod::{Examined, NAME};

/// The deadline for one answer of an SDK, with its retries.
const DEADLINE: Duration = Duration::from_secs(180);

/// A running client.
pub struct Session<'a> {
    pod: &'a Examined,
    container: &'a str,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    kubectl: Child,
}

/// The SDK's result.
#[derive(Debug)]
pub enum Answer {
    /// A token, and when it expires, in seconds since 1970.
    Token {
        token: String,
        /// `None` when the SDK could not read it.
        expires_on: Option<i64>,
    },
    /// An error with its causes, and the proxy's answer if the error has it.
    Error {
        text: String,
        response: Option<String>,
    },
}

impl<'a> Session<'a> {
    /// Starts the client in a container. The shell stays and keeps standard error open, since an exec
    /// session ends with its standard error.
    pub fn start(pod: &'a Examined, container: &'a str) -> Self {
        let namespace = pod.namespace.name();
        let mut kubectl = Command::new("kubectl")
            .args(["exec", "-i", "-n", namespace, NAME, "-c", container, "--"])
            .args(["/bin/sh", "-c", "/client/client 2>/tmp/errors; exit"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl is on the PATH of the test node");
        let input = kubectl.stdin.take().expect("stdin is piped");
        let output = kubectl.stdout.take().expect("stdout is piped");
        Self {
            pod,
            container,
            input,
            output: BufReader::new(output).lines(),
            kubectl,
        }
    }

    /// Requests a token for a resource, optionally for a client id, with one kind of credential.
    pub async fn ask(&mut self, way: &str, resource: &str, client_id: Option<&str>) -> Answer {
        let line = format!("{way} {resource} {}", client_id.unwrap_or_default());
        let line = line.trim_end().to_owned() + "\n";
        // If the client has ended already, reading its answer below reports that with its errors.
        let _ = self.input.write_all(line.as_bytes()).await;
        let answer = match timeout(DEADLINE, self.output.next_line()).await {
            Ok(Ok(Some(answer))) => answer,
            ended => {
                let exit = self.kubectl.try_wait();
                panic!(
                    "no answer to {line:?} ({ended:?}, {exit:?}): {}",
                    self.errors().await
                )
            }
        };
        let answer: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{answer:?} is no JSON: {error}"));
        match (&answer["token"], &answer["expires_on"], &answer["error"]) {
            (Value::String(token), expires_on, Value::Null) => Answer::Token {
                token: token.clone(),
                expires_on: expires_on.as_i64(),
            },
            (Value::Null, Value::Null, Value::String(error)) => {
                let secret = find_secret(&answer.to_string(), Writer::Product, &[]);
                assert_eq!(secret, None, "an error holds a secret");
                Answer::Error {
                    text: error.clone(),
                    response: answer["response"].as_str().map(str::to_owned),
                }
            }
            _ => panic!("neither a token nor an error"),
        }
    }

    /// Gets the workload's token for a resource, and checks its expiry.
    pub async fn token(&mut self, way: &str, resource: &str) -> String {
        match self.ask(way, resource, None).await {
            Answer::Token { token, expires_on } => {
                let claims = assert_is_for(&token, &self.pod.identity.client_id, resource);
                let expires_on = expires_on.expect("the SDK knows when it expires");
                let exp = claims["exp"].as_i64().expect("exp is a number");
                let off = (expires_on - exp).abs();
                assert!(off < 60, "{resource}: the SDK's expiry is {off} s off");
                assert!(expires_on > now(), "{resource}: expired already");
                token
            }
            error => panic!("{way} {resource}: {error:?}: {}", self.errors().await),
        }
    }

    /// The same, for an SDK that may cache a failure for some seconds.
    pub async fn token_in_the_end(&mut self, way: &str, resource: &str) {
        let deadline = Instant::now() + DEADLINE;
        while let Answer::Error { text, .. } = self.ask(way, resource, None).await {
            assert!(Instant::now() < deadline, "it does not recover: {text}");
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn errors(&self) -> String {
        let namespace = &self.pod.namespace;
        namespace
            .exec(NAME, self.container, "cat /tmp/errors")
            .await
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
