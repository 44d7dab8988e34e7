//! Attacks: by an application that sends any bytes, by one that an attacker makes send a request
//! (SSRF), and by a server that answers in Entra's place.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::poll;
use testkit::process::peak_resident_kib;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::entra::{Entra, Reply, answer, token};
use crate::memory::{MIB, unprivileged};
use crate::process::{BINARY, Program, program, run};
use crate::raw::exchange;
use crate::sidecar::{CLIENT, Sidecar, TENANT, TokenFile, assertion, config};

const NODE: &str =
    "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nMetadata: true\r\n\r\n";
const PAUSE: Duration = Duration::from_millis(300);

/// A node's IMDS that keeps every byte of every connection.
struct Wire {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wire {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&wire.seen);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut all = Vec::new();
                    // Everything before the answer, and everything after it.
                    let _ = timeout(PAUSE, stream.read_to_end(&mut all)).await;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                        .await;
                    let _ = timeout(PAUSE, stream.read_to_end(&mut all)).await;
                    seen.lock().unwrap().push(all);
                });
            }
        });
        wire
    }

    async fn sidecar(&self, entra: &Entra) -> Sidecar {
        let port = format!("--metadata-port={}", self.address.port());
        Sidecar::start(entra, &[&port]).await
    }
}

/// The target of a connection's only request, read strictly by RFC 9112. Bytes that another reader could
/// take for a second request are an error.
fn only_request(bytes: &[u8]) -> Result<Option<String>, String> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return if text.is_empty() {
            Ok(None)
        } else {
            Err("half a head".to_owned())
        };
    };
    let bare = head.replace("\r\n", "");
    if bare.contains(['\r', '\n', '\0']) {
        return Err("a line that ends in a bare CR or LF".to_owned());
    }
    let mut lines = head.split("\r\n");
    let request = lines.next().unwrap_or_default();
    let [_, target, "HTTP/1.1"] = request.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("a request line of other parts: {request}"));
    };
    let lines: Vec<_> = lines.collect();
    if lines.iter().any(|line| line.starts_with([' ', '\t'])) {
        return Err("a folded line".to_owned());
    }
    let values = |wanted: &str| -> Vec<_> {
        let lines = lines.iter().filter_map(|line| line.split_once(':'));
        let same = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        same.map(|(_, value)| value.trim().to_owned()).collect()
    };
    if values("host") != ["169.254.169.254"] {
        return Err(format!("hosts {:?}", values("host")));
    }
    let rest = match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => Some(Some(body)),
        ([length], []) => length
            .parse::<usize>()
            .ok()
            .map(|length| body.get(length..)),
        ([], [coding]) if coding == "chunked" => after_chunks(body),
        (lengths, codings) => return Err(format!("{lengths:?} and {codings:?}")),
    };
    match rest {
        // A body that is cut short leaves nothing for a second request.
        Some(None | Some("")) => Ok(Some(target.to_owned())),
        Some(Some(rest)) => Err(format!("a second request: {rest}")),
        None => Err("a length that is not a number".to_owned()),
    }
}

/// The bytes after the last chunk: none if the body is cut short, `None` if it is malformed.
fn after_chunks(mut body: &str) -> Option<Option<&str>> {
    loop {
        let Some((size, rest)) = body.split_once("\r\n") else {
            return Some(None);
        };
        let size = usize::from_str_radix(size, 16).ok()?;
        let Some(end) = rest.get(size..).filter(|end| end.len() >= 2) else {
            return Some(None);
        };
        body = end.strip_prefix("\r\n")?;
        if size == 0 {
            return Some(Some(body));
        }
    }
}

#[tokio::test]
async fn no_second_request_is_smuggled_to_the_node() {
    let entra = Entra::start("localhost").await;
    let wire = Wire::start().await;
    let sidecar = wire.sidecar(&entra).await;
    let length = NODE.len();
    let heads_and_bodies = [
        // Content-Length and Transfer-Encoding together, in either order.
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            NODE.to_owned(),
        ),
        // A coding that some readers ignore.
        (
            "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding:\x0bchunked\r\nContent-Length: 5\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked, identity\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: identity\r\nContent-Length: 5\r\n".to_owned(),
            format!("hello{NODE}"),
        ),
        // Several lengths, and malformed ones.
        (
            format!("Content-Length: 5\r\nContent-Length: {length}\r\n"),
            format!("hello{NODE}"),
        ),
        (
            format!("Content-Length: 5, {length}\r\n"),
            format!("hello{NODE}"),
        ),
        ("Content-Length: +5\r\n".to_owned(), format!("hello{NODE}")),
        ("Content-Length: 0x5\r\n".to_owned(), format!("hello{NODE}")),
        ("Content-Length: -5\r\n".to_owned(), format!("hello{NODE}")),
        (
            "Content-Length: 99999999999999999999999\r\n".to_owned(),
            format!("hello{NODE}"),
        ),
        // Folded lines (obs-fold), and malformed line ends.
        (
            "X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            format!("X: a\n{}", NODE.replace("\r\n", "\n")),
            String::new(),
        ),
        (
            "X: a\nContent-Length: 5\n".to_owned(),
            format!("hello{NODE}"),
        ),
        (
            "X: a\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
            format!("0\r\n\r\n{NODE}"),
        ),
        (
            "X: a\0b\r\nContent-Length: 5\r\n".to_owned(),
            format!("hello{NODE}"),
        ),
        // Chunks that are longer or shorter than their size.
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("FFFFFFFFFFFFFFFF5\r\nhello\r\n0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("10000000000000005\r\nhello\r\n0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("-5\r\nhello\r\n0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("0x5\r\nhello\r\n0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("5\r\nhello!!\r\n0\r\n\r\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("5;\n{NODE}\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("5;{}\r\nhello\r\n0\r\n\r\n{NODE}", "x".repeat(20_000)),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("5\nhello\n0\n\n{NODE}"),
        ),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("0\r\nContent-Length: 5\r\nX: y\r\n\r\n{NODE}"),
        ),
        // Upgrades to another protocol on the way to the node.
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
                .to_owned(),
            NODE.to_owned(),
        ),
        (
            "Connection: Host, Content-Length, Transfer-Encoding\r\nContent-Length: 5\r\n"
                .to_owned(),
            format!("hello{NODE}"),
        ),
        (
            "Expect: 100-continue\r\nContent-Length: 5\r\n".to_owned(),
            format!("hello{NODE}"),
        ),
    ];
    let versions = ["HTTP/1.1", "HTTP/1.0"];
    let mut sending = tokio::task::JoinSet::new();
    for (head, body) in heads_and_bodies {
        for version in versions {
            let start =
                format!("POST /metadata/instance {version}\r\nHost: x\r\nMetadata: true\r\n");
            let request = format!("{start}{head}\r\n{body}");
            sending.spawn(speak(sidecar.address, request));
        }
    }
    for line in [
        "GET /metadata/instance HTTP/1.1 /metadata/identity/info HTTP/1.1",
        "GET\t/metadata/instance\tHTTP/1.1",
        "GET /metadata/instance",
        "GET /metadata/instance\r/../identity/info HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        sending.spawn(speak(sidecar.address, format!("{line}\r\nHost: x\r\n\r\n")));
    }
    let spoken = sending.join_all().await;
    assert!(
        spoken.iter().any(|answer| answer.ends_with("hi")),
        "{spoken:?}"
    );

    let seen = wire.seen.lock().unwrap().clone();
    assert!(!seen.is_empty());
    for bytes in seen {
        let target = only_request(&bytes);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let target = target.unwrap_or_else(|fault| panic!("{fault} in {shown:?}"));
        assert!(
            target.is_none_or(|target| target == "/metadata/instance"),
            "{shown:?}"
        );
    }
    assert_eq!(
        sidecar.token("resource=a").await.status,
        200,
        "it still serves"
    );
}

/// Sends a request, which the sidecar may refuse before its end, and reads the answer.
async fn speak(address: SocketAddr, request: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await;
    let mut all = Vec::new();
    let _ = timeout(PAUSE * 4, stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// SSRF: the attacker chooses the target and few headers, or reaches the sidecar through a proxy.
#[tokio::test]
async fn a_forged_request_gets_no_token() {
    let entra = Entra::start("localhost").await;
    let wire = Wire::start().await;
    let sidecar = wire.sidecar(&entra).await;
    let target = "/metadata/identity/oauth2/token?resource=a";
    for (target, lines) in [
        (target.to_owned(), "Host: 169.254.169.254\r\n"),
        (target.to_owned(), "Host: attacker.example\r\n"),
        (
            target.to_owned(),
            "Host: 169.254.169.254\r\nMetadata: true\r\nX-Forwarded-For: 1\r\n",
        ),
        (
            target.to_owned(),
            "Host: x\r\nMetadata: true\r\nx-FORWARDED-for: 169.254.169.254\r\n",
        ),
        // Text in a target does not become a header.
        (
            format!("{target}&Metadata=true&metadata=true"),
            "Host: x\r\n",
        ),
        (
            format!("{target}%20HTTP/1.1%0d%0aMetadata:%20true%0d%0a"),
            "Host: x\r\n",
        ),
        (
            target.to_owned(),
            "Host: x\r\nCookie: Metadata=true\r\nReferer: Metadata: true\r\n",
        ),
        (target.to_owned(), "Host: x\r\nMetadata: true, true\r\n"),
        (
            target.to_owned(),
            "Host: x\r\nMetadata: true\r\nMetadata: false\r\n",
        ),
        (
            format!("http://user:pass@169.254.169.254{target}"),
            "Host: x\r\n",
        ),
    ] {
        let refused = exchange(
            sidecar.address,
            &format!("GET {target} HTTP/1.1\r\n{lines}"),
        )
        .await;
        assert_eq!(refused.status, 400, "{target} {lines}: {refused:?}");
    }
    assert_eq!(entra.requests().len(), 0);

    // A relayed request goes to IMDS, whatever its Host header says.
    for lines in [
        "Host: attacker.example\r\n",
        "Host: a\r\n",
        "Host: x:99\r\n",
    ] {
        for target in [
            "/metadata/instance",
            "http://attacker.example/metadata/instance",
        ] {
            let head = format!("GET {target} HTTP/1.1\r\n{lines}");
            exchange(sidecar.address, &head).await;
        }
    }
    // Its connections are read to their end.
    let ended = async || wire.seen.lock().unwrap().len();
    poll::until("the end of six connections", ended, |count| *count >= 6).await;
    for bytes in wire.seen.lock().unwrap().iter() {
        assert_eq!(
            only_request(bytes),
            Ok(Some("/metadata/instance".to_owned()))
        );
    }
}

#[tokio::test]
async fn nothing_is_injected_into_a_request_to_entra() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    let other = "22220000-1111-2222-3333-444455556666";
    let hostile = [
        format!("x&client_id={other}"),
        format!("x&client_assertion=y&scope=z&tenant={other}"),
        "x;scope=y".to_owned(),
        "x\"},{\"scope\":\"y".to_owned(),
        "x/../../common/oauth2".to_owned(),
        "x?y#z".to_owned(),
        "openid x/.default y".to_owned(),
        "x%26scope%3Dy".to_owned(),
        "é\u{1f980}".to_owned(),
    ];
    for resource in &hostile {
        let encoded: String = form_urlencoded::byte_serialize(resource.as_bytes()).collect();
        let answer = sidecar
            .token(&format!(
                "resource={encoded}&authority=https://evil/&tenant={other}"
            ))
            .await;
        assert_eq!(answer.text("resource"), *resource, "{answer:?}");
    }
    let requests = entra.requests();
    assert_eq!(requests.len(), hostile.len());
    for (request, resource) in requests.iter().zip(&hostile) {
        let mut names: Vec<_> = request.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "client-request-id",
                "content-length",
                "content-type",
                "host",
                "x-ms-lib-capability"
            ],
            "the sidecar accepts no compression",
        );
        let mut names: Vec<_> = request.form.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "client_assertion",
                "client_assertion_type",
                "client_id",
                "grant_type",
                "scope"
            ]
        );
        assert_eq!(
            request.body.matches('&').count(),
            4,
            "no field is there twice: {}",
            request.body
        );
        assert_eq!(request.form["scope"], format!("{resource}/.default"));
        assert_eq!(request.form["client_id"], CLIENT);
        assert_eq!(request.path, format!("/{TENANT}/oauth2/v2.0/token"));
    }
    // Such resources are refused before an exchange.
    for encoded in ["a%0d%0aX-Evil:%20b", "a%00b", "a%1b%5b2J", "a%c2%9b2J"] {
        assert_eq!(
            sidecar.token(&format!("resource={encoded}")).await.status,
            400,
            "{encoded}"
        );
    }
    assert_eq!(entra.requests().len(), hostile.len());
}

#[tokio::test]
async fn does_not_decompress_answers_and_bounds_their_size() {
    // {"access_token":"granted","expires_in":3600}
    const GZIP: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 76, 78, 78, 45, 46, 142, 47, 201, 207, 78,
        205, 83, 178, 82, 74, 47, 74, 204, 43, 73, 77, 81, 210, 81, 74, 173, 40, 200, 44, 74, 45,
        142, 207, 4, 10, 27, 155, 25, 24, 212, 2, 0, 240, 164, 167, 23, 44, 0, 0,
    ];
    let entra = Entra::start("localhost").await;
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let packed = Response::builder().header("content-encoding", coding);
        let packed = packed.body(Bytes::from_static(GZIP)).unwrap();
        entra.answer(move |_, _| Reply::Whole(packed.clone()));
        let sidecar = Sidecar::start(&entra, &[]).await;
        let refused = sidecar.token("resource=a").await;
        assert_eq!(refused.status, 503, "{coding}: {refused:?}");
    }

    let program = Program::start(&entra, &[], &[]).await;
    let endless = Bytes::from(vec![b' '; 100 << 20]);
    entra.answer(|_, _| token("t", 3600));
    assert_eq!(program.token("a").await.status, 200);
    let peak = || peak_resident_kib(program.id()).unwrap() * 1024;
    let before = peak();
    entra.answer(move |_, _| Reply::Whole(Response::new(endless.clone())));
    assert_eq!(program.token("b").await.status, 503);
    assert!(peak() < before + 4 * MIB);
}

#[tokio::test]
async fn a_hostile_entra_writes_no_control_characters_to_logs_and_metrics() {
    const FORGED: &str = "2026-01-01T00:00:00Z ERROR the node is on fire";
    let sent = assertion("first");
    let text = format!(
        "AADSTS1: \\u001b[2J\\u001b]0;title\\u0007\\u009b31m\\u202e\\r\\n{FORGED}\\n{{\\\"level\\\":\\\"ERROR\\\"}} {sent}{}",
        "x".repeat(100_000)
    );
    // In escapes and cut short, too.
    let escaped: String = sent.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let text = format!("{text} {escaped}").replacen("AADSTS1:", &format!("AADSTS1: {escaped}"), 1);
    let cut = &sent[..sent.len() / 2];
    let text = text.replacen("AADSTS1:", &format!("AADSTS1: {cut}"), 1);
    let body = format!(
        r#"{{"error":"{text}","error_description":"{text}","trace_id":"\u001b[31m\n{FORGED}","correlation_id":"{sent}","error_codes":["1\u001b"]}}"#
    );
    for format in ["json", "text"] {
        let entra = Entra::start("localhost").await;
        let hostile = answer(400, None, &body);
        entra.answer(move |_, _| hostile.clone());
        let flag = format!("--log-format={format}");
        let program = Program::start(&entra, &[&flag, "--log-level=all"], &[]).await;
        let refused = program.token("a").await;
        assert_eq!(refused.status, 400);
        let log = program.ended().await;
        let described = format!(
            "{}{}",
            refused.text("error"),
            refused.text("error_description")
        );
        for text in [&log, &described, &refused.body] {
            let odd = |c: char| (c.is_control() && !['\r', '\n'].contains(&c)) || c == '\u{202e}';
            assert_eq!(text.find(odd), None, "{text:?}");
            assert!(
                !text.contains(&sent) && !text.contains(cut) && text.len() < 20_000,
                "law 8: {text}"
            );
        }
        assert!(log.contains("AADSTS1"), "Entra's text is logged: {log}");
        for line in log.lines() {
            assert!(!line.starts_with(FORGED), "{line}");
            let is_json = serde_json::from_str::<serde_json::Value>(line).is_ok();
            assert_eq!(is_json, format == "json", "{line}");
        }
    }
}

#[tokio::test]
async fn a_hostile_resource_is_one_label_in_the_metrics() {
    let entra = Entra::start("localhost").await;
    let file = TokenFile::new();
    let mut config = config(&entra, &file, &[]);
    config.metrics_port = Some(0);
    let sidecar = Sidecar::start_with(config, file).await;
    let resource = r#"a"} 1 azwi_forged{x="\"#;
    let encoded: String = form_urlencoded::byte_serialize(resource.as_bytes()).collect();
    assert_eq!(
        sidecar.token(&format!("resource={encoded}")).await.status,
        200
    );
    let metrics = sidecar.metrics_address.unwrap().port();
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let metrics = exchange(([127, 0, 0, 1], metrics).into(), head).await.body;
    let label = r#"resource="a\"} 1 azwi_forged{x=\"\\"} "#;
    assert_eq!(metrics.matches(label).count(), 1, "{metrics}");
    assert!(
        metrics.lines().all(|line| line.starts_with(['#', 'a'])),
        "{metrics}"
    );
}

#[tokio::test]
async fn law_8_a_crash_leaves_no_core_and_other_users_cannot_read_the_environment() {
    let binary = std::fs::File::open(BINARY).unwrap();
    let entra = Entra::start("localhost").await;
    // No limit on the size of a core.
    let unlimited = "ulimit -c unlimited; exec \"$0\" \"$@\"";
    let mut shell = program("/bin/sh");
    // By its open file, since the other user may not enter its directory.
    unprivileged(
        shell
            .args(["-c", unlimited, "/proc/self/fd/0"])
            .stdin(binary),
    );
    let running = Program::start_as(shell, &entra, &[], &[]).await;
    assert_eq!(running.token("a").await.status, 200);

    let environ = |id: u32| async move {
        let mut cat = program("/bin/cat");
        unprivileged(cat.arg(format!("/proc/{id}/environ")));
        run(&mut cat).await.status.success()
    };
    assert!(!environ(running.id()).await);
    let directory = std::env::temp_dir().join(format!("core-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    let mut other = program("/bin/sh");
    other
        .args(["-c", unlimited, "/bin/sleep", "60"])
        .current_dir(&directory);
    let mut other = unprivileged(&mut other).spawn().unwrap();
    let id = other.id().unwrap();
    assert!(
        environ(id).await,
        "the user can read the environment of another process"
    );

    running.signal(Signal::SIGABRT);
    let status = running.crashed().await;
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    assert!(!status.core_dumped());
    kill(Pid::from_raw(id.cast_signed()), Signal::SIGABRT).unwrap();
    let status = other.wait().await.unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    // The other process left a core, where the kernel writes cores to files.
    let pattern = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    assert!(status.core_dumped() || pattern.starts_with(b"|"));
}
