//! The program's system calls: few on the hot path, and all in `deploy/seccomp/proxy.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::entra::{Entra, aadsts, token};
use crate::imds::Imds;
use crate::process::{BINARY, Program, program};
use crate::raw::{exchange, read_one};

const REQUEST: &str = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                       Metadata: true\r\n\r\n";

/// A cached token, on a connection that is open already.
#[tokio::test]
async fn a_cached_token_costs_one_receive_one_send_and_one_wait() {
    let entra = Entra::start("localhost").await;
    let trace = Trace::new();
    let program = Program::start_as(trace.command(), &entra, &[], &[]).await;
    let mut stream = TcpStream::connect(program.address).await.unwrap();
    let mut answered = async || {
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        assert_eq!(read_one(&mut stream).await.status, 200);
    };
    for _ in 0..10 {
        answered().await;
    }
    let before = trace.lines();
    for _ in 0..1000 {
        answered().await;
    }
    let calls = trace.calls(before);
    // Other threads belong to the start, and end when they have had nothing to do for a while.
    let answering = calls.iter().find(|(_, call)| call == "writev");
    let (answering, _) = answering.expect("the proxy answers");
    let of_answers = calls.iter().filter(|(thread, _)| thread == answering);
    let of_answers: Vec<_> = of_answers.map(|(_, call)| call).collect();
    assert_eq!(of_answers, ["epoll_wait", "recvfrom", "writev"]);
}

#[tokio::test]
async fn makes_only_the_system_calls_of_the_seccomp_profile() {
    let entra = Entra::start("localhost").await;
    let imds = Imds::start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    entra.answer(|nth, _| match nth {
        0 => aadsts(400, "invalid_resource", 500_011),
        _ => token("opaque", 3600),
    });
    let trace = Trace::new();
    let flags = imds.flags();
    let flags = [&flags[0], &flags[1], "--log-level=debug"];
    let key = [("AZWI_RELAY_KEY", "000102030405060708090a0b0c0d0e0f")];
    let program = Program::start_as(trace.command(), &entra, &flags, &key).await;
    for (resource, status) in [("a", 400), ("b", 200), ("b", 200)] {
        assert_eq!(program.token(resource).await.status, status);
    }
    let instance = "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n";
    assert_eq!(exchange(program.address, instance).await.status, 200);
    program.ended().await;

    let profile = include_str!("../../../deploy/seccomp/proxy.json");
    let profile: Value = serde_json::from_str(profile).unwrap();
    let groups = profile["syscalls"].as_array().unwrap();
    let names = groups
        .iter()
        .map(|group| group["names"].as_array().unwrap());
    let allowed: BTreeSet<_> = names.flatten().map(|name| name.as_str().unwrap()).collect();
    for (_, call) in trace.calls(0) {
        assert!(allowed.contains(call.as_str()), "{call} is missing");
    }
}

#[tokio::test]
async fn reads_only_its_token_and_the_resolvers_files_and_writes_none() {
    const READ: [&str; 5] = [
        "/etc/host.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/resolv.conf",
        // The standard library looks for the stack's guard page.
        "/proc/self/maps",
    ];
    let entra = Entra::start("localhost").await;
    let trace = Trace::new();
    let program = Program::start_as(trace.command(), &entra, &[], &[]).await;
    assert_eq!(program.token("a").await.status, 200);
    let token_file = program.token_file();
    program.ended().await;
    let trace = trace.text();
    let opened = trace.lines().filter_map(|line| {
        let (_, opened) = line.split_once("openat(AT_FDCWD, \"")?;
        opened.split_once("\", ")
    });
    let opened: Vec<_> = opened.filter(|(path, _)| !path.contains(".so")).collect();
    assert!(
        opened.iter().any(|(path, _)| *path == token_file),
        "{opened:?}"
    );
    for (path, flags) in opened {
        assert!(
            READ.contains(&path) || path == token_file,
            "{path} is opened"
        );
        let flags = flags.replace("|O_NONBLOCK", "");
        assert!(flags.starts_with("O_RDONLY|O_CLOEXEC"), "{path}: {flags}");
    }
}

/// The file that strace writes, removed on drop.
struct Trace(PathBuf);

impl Trace {
    fn new() -> Self {
        let name = format!("proxy-calls-{}", uuid::Uuid::new_v4());
        Self(std::env::temp_dir().join(name))
    }

    /// The program under strace. The program is the test's child, and strace is the program's.
    fn command(&self) -> Command {
        let mut strace = program("/usr/bin/strace");
        strace
            .args(["-D", "-f", "-qq", "-o"])
            .arg(&self.0)
            .arg(BINARY);
        strace
    }

    /// The number of lines so far.
    fn lines(&self) -> usize {
        self.text().lines().count()
    }

    /// Each thread with the names of its system calls after the first lines. A line is `17 read(3, …`, and
    /// `17 <... read resumed>…` where the kernel ran another thread meanwhile.
    fn calls(&self, skipped: usize) -> BTreeSet<(String, String)> {
        let of_line = |line: &str| {
            let (thread, call) = line.split_once(' ')?;
            let call = call.trim_start().trim_start_matches("<... ");
            let end = call.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            (end > 0).then(|| (thread.to_owned(), call[..end].to_owned()))
        };
        self.text()
            .lines()
            .skip(skipped)
            .filter_map(of_line)
            .collect()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0)
            .expect("strace writes it; where it is missing: apt-get install strace")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
