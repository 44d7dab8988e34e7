//! The program: flags, exit codes, messages, signals.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{ExitStatus, Output};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use testkit::program;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::entra::{Entra, aadsts, token};
use crate::imds::Imds;
use crate::raw::{Answer, exchange};
use crate::sidecar::{CLIENT, DEADLINE, TENANT, TokenFile, assertion, flags};

/// The program, running. It ends when it is dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    process: program::Program,
    token_file: TokenFile,
}

impl Program {
    /// Starts the program and waits until `--probe` finds it ready.
    pub(crate) async fn start(entra: &Entra, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_as(program(BINARY), entra, more, variables).await
    }

    /// The same, with a command that runs the program.
    pub(crate) async fn start_as(
        command: Command,
        entra: &Entra,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        Self::start_at(free_port().await, command, entra, more, variables).await
    }

    /// The same, on this port.
    pub(crate) async fn start_at(
        port: u16,
        mut command: Command,
        entra: &Entra,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let token_file = TokenFile::new();
        command
            .args(flags(entra, &token_file, more))
            .arg(format!("-proxy-port={port}"))
            .envs(variables.iter().copied());
        let process = program::Program::start(command);
        let probed = run(program(BINARY).args(["-probe", &format!("-proxy-port={port}")])).await;
        assert!(probed.status.success(), "{probed:?}");
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            process,
            token_file,
        }
    }

    async fn get(&self, target: &str) -> Answer {
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n");
        exchange(self.address, &head).await
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The path of its service account token.
    pub(crate) fn token_file(&self) -> String {
        self.token_file.0.display().to_string()
    }

    pub(crate) async fn token(&self, resource: &str) -> Answer {
        self.get(&format!(
            "/metadata/identity/oauth2/token?resource={resource}"
        ))
        .await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for a line of the log with `text` in it.
    pub(crate) async fn logged(&self, text: &str) {
        self.process.logged(text).await;
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log().join("\n")
    }

    /// Waits until a signal has ended it.
    pub(crate) async fn crashed(mut self) -> ExitStatus {
        self.process.ended().await
    }

    /// Ends it and returns its log.
    pub(crate) async fn ended(mut self) -> String {
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGINT);
        assert_eq!(self.process.ended().await.code(), Some(0));
        self.process.log().join("\n")
    }
}

/// The program without the environment of the tests.
pub(crate) fn program(path: &str) -> Command {
    let mut program = Command::new(path);
    program.env_clear().kill_on_drop(true);
    program
}

/// The program for a user who may not enter its directory.
pub(crate) struct OpenBinary(File);

pub(crate) fn open_binary() -> OpenBinary {
    OpenBinary(File::open(BINARY).unwrap())
}

impl OpenBinary {
    /// A path of the program that is valid while this is kept.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

/// Ends the proxy.
pub(crate) const QUIT: &str = "POST /quitquitquit HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n";

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_proxy");

pub(crate) async fn run(program: &mut Command) -> Output {
    timeout(DEADLINE, program.output()).await.unwrap().unwrap()
}

/// A port that is free now, and that no other test of this process gets.
pub(crate) async fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn lists_every_mistake_of_the_configuration_and_exits_64() {
    let output = run(program(BINARY)
        .args(["-proxy-port=0", "-log-level=loud"])
        .env("AZWI_RELAY", "x"))
    .await;
    assert_eq!(output.status.code(), Some(64));
    let message = text(&output.stderr);
    for part in [
        "-proxy-port=0",
        "\"loud\"",
        "--relay=x",
        "AZURE_TENANT_ID (--tenant-id) is not set",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
        "azure.workload.identity/use: \"true\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(
        run(program(BINARY).arg("--no-such-flag"))
            .await
            .status
            .code(),
        Some(64)
    );
}

#[tokio::test]
async fn prints_help_and_version() {
    let version = run(program(BINARY).arg("-version")).await;
    assert_eq!(version.status.code(), Some(0));
    let line = text(&version.stdout);
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    let version: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(version["buildVersion"], "v0.1.0", "{version}");
    for name in ["gitCommit", "buildDate", "rustVersion", "platform"] {
        assert!(version[name].is_string(), "{name}: {version}");
    }
    let help = run(program(BINARY).arg("-help")).await;
    assert_eq!(help.status.code(), Some(0));
    for flag in [
        "--proxy-port",
        "AZWI_RELAY",
        "--shutdown",
        "AZURE_TENANT_ID",
    ] {
        assert!(text(&help.stdout).contains(flag), "{flag}");
    }
}

#[tokio::test]
async fn starts_with_variables_alone() {
    let entra = Entra::start("localhost").await;
    let token_file = TokenFile::new();
    let port = free_port().await.to_string();
    let mut child = program(BINARY)
        .env("AZURE_TENANT_ID", TENANT)
        .env("AZURE_CLIENT_ID", CLIENT)
        .env(
            "AZURE_AUTHORITY_HOST",
            format!("https://localhost:{}/", entra.address.port()),
        )
        .env("AZURE_FEDERATED_TOKEN_FILE", &token_file.0)
        .env("AZWI_CA_DATA", &entra.ca)
        .env("AZWI_PROXY_PORT", &port)
        .env("AZWI_LOOPBACK", "on")
        .spawn()
        .unwrap();
    let probed = run(program(BINARY).arg("--probe").env("AZWI_PROXY_PORT", &port)).await;
    assert!(probed.status.success(), "{probed:?}");
    let head = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                Metadata: true\r\n";
    let address = (Ipv4Addr::LOCALHOST, port.parse().unwrap()).into();
    assert_eq!(exchange(address, head).await.text("client_id"), CLIENT);
    child.kill().await.unwrap();
}

#[tokio::test]
async fn names_a_missing_token_file_and_exits_66() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let flags = flags(&entra, &file, &["--federated-token-file=/nowhere/token"]);
    let output = run(program(BINARY).args(flags)).await;
    assert_eq!(output.status.code(), Some(66));
    let message = text(&output.stderr);
    assert!(
        message.contains("/nowhere/token") && message.contains("label"),
        "{message}"
    );
}

#[tokio::test]
async fn names_a_taken_port_and_exits_69() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("--proxy-port={}", taken.local_addr().unwrap().port());
    let output = run(program(BINARY).args(flags(&entra, &file, &[&port]))).await;
    assert_eq!(output.status.code(), Some(69));
    assert!(
        text(&output.stderr).contains("Choose another port with --proxy-port"),
        "{output:?}"
    );
}

/// A limit of four open files suffices to load the program, but not for tokio's epoll instance.
#[tokio::test]
async fn reports_a_runtime_that_cannot_start_and_exits_70() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let mut limited = program("/bin/sh");
    limited.args(["-c", "ulimit -n 4 && exec \"$0\" \"$@\"", BINARY]);
    let output = run(limited.args(flags(&entra, &file, &[]))).await;
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    let message = text(&output.stderr);
    assert!(message.contains("cannot start the runtime"), "{message}");
}

#[tokio::test]
async fn refuses_a_probe_timeout_out_of_range() {
    let mut probe = program(BINARY);
    probe.args(["--probe", &format!("--proxy-port={}", free_port().await)]);
    for seconds in ["18446744073709551615", "86401", "-1"] {
        let output = run(probe.env("AZWI_PROBE_TIMEOUT", seconds)).await;
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let message = text(&output.stderr);
        assert!(message.contains("from 0 to 86400"), "{message}");
    }
}

#[tokio::test]
async fn a_probe_waits_for_a_proxy_that_starts_late() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let port = format!("--proxy-port={}", free_port().await);
    let probe = program(BINARY).args(["--probe", &port]).spawn().unwrap();
    let gives_up = run(program(BINARY).args(["--probe", &port, "--probe-timeout=0"])).await;
    assert_eq!(gives_up.status.code(), Some(1));
    assert!(
        text(&gives_up.stderr).contains("does not answer"),
        "{gives_up:?}"
    );
    let _late = program(BINARY)
        .args(flags(&entra, &file, &[&port]))
        .spawn()
        .unwrap();
    let probed = timeout(DEADLINE, probe.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(probed.status.success());
    assert_eq!(entra.requests().len(), 0, "a probe costs no exchange");
}

#[tokio::test]
async fn a_probe_reports_a_hanging_proxy() {
    // The kernel accepts connections for a process that hangs.
    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("--proxy-port={}", hung.local_addr().unwrap().port());
    let output = run(program(BINARY).args(["--probe", &port, "--probe-timeout=0"])).await;
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn logs_the_messages_of_the_migration_guide() {
    let entra = Entra::start("localhost").await;
    let program = Program::start(&entra, &[], &[]).await;
    program
        .logged("\"message\":\"starting the proxy server\"")
        .await;
    program
        .logged("\"message\":\"received readyz request\"")
        .await;
    for _ in 0..3 {
        assert_eq!(program.get("/readyz").await.status, 200);
        assert_eq!(program.token("a").await.status, 200);
    }
    program.token("b").await;
    let log = program.ended().await;
    let count = |text: &str| log.matches(text).count();
    assert_eq!(count("received readyz request"), 1, "{log}");
    assert_eq!(count("received token request"), 2, "{log}");
    assert_eq!(count("successfully acquired token"), 2, "{log}");
    assert!(
        log.contains("\"client_id\":\"91be####\"") && !log.contains(CLIENT),
        "{log}"
    );
}

#[tokio::test]
async fn law_8_no_secret_is_logged_at_any_level() {
    let entra = Entra::start("localhost").await;
    entra.answer(|nth, _| match nth {
        0 => aadsts(401, "invalid_client", 700024),
        1 | 2 => token("very-secret-token", 3600),
        _ => aadsts(400, "unauthorized_client", 700016),
    });
    for format in ["json", "text"] {
        let flag = format!("--log-format={format}");
        let program = Program::start(&entra, &["--log-level=all", &flag], &[]).await;
        let mut output = String::new();
        for resource in ["a", "a", "b", "c"] {
            let answer = program.token(resource).await;
            if answer.status != 200 {
                output.push_str(&answer.body);
            }
        }
        output.push_str(&program.ended().await);
        assert!(output.contains("starting the proxy server"));
        let signature = assertion("first")
            .split('.')
            .next_back()
            .unwrap()
            .to_owned();
        for secret in [
            "very-secret-token",
            &assertion("first"),
            &format!(".{signature}"),
        ] {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
    }
}

#[tokio::test]
async fn sigterm_ends_a_native_sidecar() {
    let entra = Entra::start("localhost").await;
    let mut program = Program::start(&entra, &["--shutdown=now"], &[]).await;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_plain_container_ends_some_seconds_after_its_last_request() {
    let entra = Entra::start("localhost").await;
    let mut program = Program::start(&entra, &["--shutdown=1"], &[]).await;
    program.signal(Signal::SIGTERM);
    program
        .logged("serving until no request has come for 1 s")
        .await;
    assert_eq!(program.process.ended().await.code(), Some(0));
    program.logged("no request has come for 1 s: ending").await;
}

#[tokio::test]
async fn a_plain_container_serves_until_the_second_signal() {
    let entra = Entra::start("localhost").await;
    let mut program = Program::start(&entra, &["--shutdown=60"], &[]).await;
    program.signal(Signal::SIGTERM);
    program
        .logged("serving until no request has come for 60 s")
        .await;
    assert_eq!(program.token("a").await.status, 200);
    program.signal(Signal::SIGTERM);
    assert_eq!(program.process.ended().await.code(), Some(0));
}

/// As in a Job, whose pod waits until all its containers have ended.
#[tokio::test]
async fn a_request_of_the_pod_ends_a_lingering_proxy_without_an_error() {
    let entra = Entra::start("localhost").await;
    let flags = ["--quit=on", "--shutdown=86400"];
    for is_ending in [false, true] {
        let mut program = Program::start(&entra, &flags, &[]).await;
        if is_ending {
            program.signal(Signal::SIGTERM);
            program.logged("serving until no request has come").await;
        }
        let answer = exchange(program.address, QUIT).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text("status"), "ending");
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(&*length));
        assert_eq!(program.process.ended().await.code(), Some(0));
        let log = program.log();
        assert!(log.contains("sent POST /quitquitquit: ending"), "{log}");
    }
}

/// In mode `environment` every container has the secret, and `kubectl port-forward` has not.
#[tokio::test]
async fn only_a_request_with_the_secret_ends_the_proxy_of_mode_environment() {
    let entra = Entra::start("localhost").await;
    let secret = "0123456789abcdef0123456789abcdef";
    let variables = [("AZWI_IDENTITY_HEADER", secret), ("AZWI_QUIT", "on")];
    for imds in ["--imds=on", "--imds=off"] {
        let mut program = Program::start(&entra, &["--loopback=", imds], &variables).await;
        for line in ["", "X-IDENTITY-HEADER: x\r\n", "Secret: \r\n"] {
            let answer = exchange(program.address, &format!("{QUIT}{line}")).await;
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_eq!(answer.text("error"), "unauthorized");
        }
        let head = format!("{QUIT}X-IDENTITY-HEADER: {secret}\r\n");
        assert_eq!(exchange(program.address, &head).await.status, 200);
        assert_eq!(program.process.ended().await.code(), Some(0));
    }
}

/// An egress proxy that connects every request to `target`, and the heads of the requests.
async fn egress(target: SocketAddr) -> (SocketAddr, UnboundedReceiver<String>) {
    let egress = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = egress.local_addr().unwrap();
    let (sender, heads) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = egress.accept().await.unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                sender.send(String::from_utf8(head).unwrap()).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut tunnel = TcpStream::connect(target).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut tunnel).await;
            });
        }
    });
    (address, heads)
}

#[tokio::test]
async fn reads_an_egress_proxy_as_go_does() {
    let entra = Entra::start("localhost").await;
    let (egress, mut heads) = egress(entra.address).await;
    let value = format!("user:p%40ss@{egress}/");
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        // reqwest ignores all of them in a CGI script, where REQUEST_METHOD is set. The proxy does not.
        let variables = [(variable, &*value), ("REQUEST_METHOD", "GET")];
        let authority = "--authority-host=https://localhost:1/";
        let program = Program::start(&entra, &[authority], &variables).await;
        assert_eq!(program.token("a").await.status, 200, "{variable}");
        let head = timeout(DEADLINE, heads.recv()).await.unwrap().unwrap();
        let credentials = STANDARD.encode("user:p@ss");
        let credentials = format!("proxy-authorization: basic {credentials}\r\n").to_lowercase();
        assert!(head.to_lowercase().contains(&credentials), "{head}");
        drop(program);
        while heads.try_recv().is_ok() {}
    }
}

#[tokio::test]
async fn names_an_invalid_egress_proxy_and_exits_64() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    for value in [
        "htps://u:hidden@proxy:3128",
        "http://u:hid#hidden@proxy:3128",
    ] {
        for variable in ["HTTPS_PROXY", "all_proxy"] {
            let mut program = program(BINARY);
            let port = format!("--proxy-port={}", free_port().await);
            program.args(flags(&entra, &file, &[&port]));
            let output = run(program.env(variable, value)).await;
            assert_eq!(output.status.code(), Some(64), "{output:?}");
            let message = text(&output.stderr);
            assert!(message.contains(&format!("- {variable}: ")), "{message}");
            assert!(!message.contains("hidden"), "{message}");
        }
    }
}

#[tokio::test]
async fn identity_bindings_ignore_the_egress_proxy() {
    let entra = Entra::start("localhost").await;
    let token_proxy = format!("https://localhost:{}", entra.address.port());
    let variables = [
        ("AZURE_KUBERNETES_TOKEN_PROXY", &*token_proxy),
        ("HTTPS_PROXY", "socks5://proxy"),
    ];
    let program = Program::start(&entra, &[], &variables).await;
    assert_eq!(program.token("a").await.status, 200);
}

#[tokio::test]
async fn uses_the_egress_proxy_for_entra_and_never_for_imds() {
    let entra = Entra::start("localhost").await;
    let imds = Imds::start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let [ip, port] = imds.flags();
    let (egress, mut heads) = egress(entra.address).await;
    let url = format!("http://{egress}");
    let variables = [("HTTPS_PROXY", &*url), ("HTTP_PROXY", &*url)];
    // Nothing listens at this address, so only the egress proxy reaches Entra.
    let authority = "--authority-host=https://localhost:1/";
    let program = Program::start(&entra, &[authority, &ip, &port], &variables).await;
    assert_eq!(program.token("a").await.status, 200);
    assert!(
        heads
            .recv()
            .await
            .unwrap()
            .starts_with("CONNECT localhost:1 HTTP/1.1\r\n")
    );
    assert_eq!(program.get("/metadata/instance").await.body, "hi");
    assert!(imds.seen()[0].starts_with("GET /metadata/instance HTTP/1.1\r\n"));
    drop(program);
    while heads.try_recv().is_ok() {}
    let variables = [("HTTPS_PROXY", &*url), ("NO_PROXY", "localhost")];
    let program = Program::start(&entra, &[], &variables).await;
    assert_eq!(program.token("a").await.status, 200);
    assert!(heads.try_recv().is_err(), "NO_PROXY is honoured");
}

/// Drivers of databases hide the text of the answer.
#[tokio::test]
async fn the_first_refusal_of_each_kind_and_selector_is_a_warning() {
    let entra = Entra::start("localhost").await;
    let program = Program::start(&entra, &["--relay=deny"], &[]).await;
    let token = "/metadata/identity/oauth2/token";
    for probe in [token, "/metadata/identity/getplatformmetadata"] {
        program.get(probe).await;
        let head = format!("GET {probe} HTTP/1.1\r\nHost: x\r\n");
        exchange(program.address, &head).await;
    }
    let id = "0b1ec7ed-0000-0000-0000-00000000000a,";
    for _ in 0..3 {
        for query in [
            format!("resource=a&object_id={id}"),
            format!("resource=b&object_id={id}"),
            format!("resource=a&mi_res_id={id}"),
            "resource=a&client_id=cart&key=5ecret".to_owned(),
        ] {
            let answer = program.get(&format!("{token}?{query}")).await;
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        assert_eq!(program.get("/metadata/instance").await.status, 403);
        assert_eq!(exchange(program.address, "GET\r\n").await.status, 400);
        // No probe has the header.
        let head = format!("GET {token}?resource=a HTTP/1.1\r\nHost: x\r\nMetadata: 1\r\n");
        assert_eq!(exchange(program.address, &head).await.status, 400);
    }
    let log = program.ended().await;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("refused a request"))
        .collect();
    assert_eq!(lines.len(), 6, "{log}");
    for (line, parts) in lines.iter().zip([
        ["?resource=a&object_id=0b1e####,", "send client_id, or"],
        ["?resource=a&mi_res_id=0b1e####,", "send client_id, or"],
        ["&client_id=cart&key\"", "send the identity's client id"],
        ["GET /metadata/instance", "proxy.relay"],
        ["cannot be read as HTTP/1.1", "speaks HTTP/1.1"],
        ["?resource=a\"", "Metadata: true, once"],
    ]) {
        assert!(line.contains("WARN"), "{line}");
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}
