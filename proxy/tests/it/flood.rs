//! One process of the pod that asks for everything at once. A token in memory is served meanwhile (law 4), and
//! the program keeps below its memory limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proxy::token::MAX_QUEUE;
use testkit::poll;
use testkit::process::peak_resident_kib;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::entra::{Entra, Reply, aadsts, token};
use crate::memory::{MIB, raise_open_files};
use crate::process::{BINARY, Program, program};
use crate::raw::{Answer, exchange, read_one};
use crate::sidecar::Sidecar;

/// The memory limit of the sidecar.
const MEMORY_LIMIT: u64 = 64 * MIB;

/// A token request on a connection that stays open.
fn request(resource: &str) -> String {
    format!(
        "GET /metadata/identity/oauth2/token?resource={resource} HTTP/1.1\r\nHost: x\r\n\
         Metadata: true\r\n\r\n"
    )
}

fn random(length: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(length)
        .collect()
}

async fn ask(stream: &mut TcpStream, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_one(stream).await
}

/// Random resources on 64 connections, `each` times on each; the statuses of the answers.
async fn flood(address: std::net::SocketAddr, each: usize, length: usize) -> Vec<u16> {
    flood_on(64, address, each, length).await
}

async fn flood_on(
    connections: usize,
    address: std::net::SocketAddr,
    each: usize,
    length: usize,
) -> Vec<u16> {
    let mut floods = JoinSet::new();
    for _ in 0..connections {
        floods.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut statuses = Vec::new();
            for _ in 0..each {
                statuses.push(ask(&mut stream, &request(&random(length))).await.status);
            }
            statuses
        });
    }
    floods.join_all().await.concat()
}

#[tokio::test]
async fn law_4_a_flood_of_resources_delays_no_cached_token_and_stays_below_the_memory_limit() {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| token(&random(3_000), 3600));
    let program = Program::start(&entra, &[], &[]).await;
    assert_eq!(program.token("cached").await.status, 200);
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (is_over, address) = (Arc::clone(&is_over), program.address);
        async move {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                // A new connection each time.
                let mut stream = TcpStream::connect(address).await.unwrap();
                assert_eq!(ask(&mut stream, &request("cached")).await.status, 200);
                count += 1;
            }
            count
        }
    });
    // More keys than are kept.
    let statuses = flood(program.address, 24, 1024).await;
    assert!(statuses.iter().all(|status| [200, 503].contains(status)));
    assert!(statuses.iter().filter(|status| **status == 200).count() > 1_000);
    // The attack that killed the proxy.
    let statuses = flood(program.address, 24, 7_500).await;
    assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
    is_over.store(true, Ordering::Relaxed);
    assert!(asking.await.unwrap() > 100);
    let of_cached = |scope: &String| scope == "cached/.default";
    let cached = entra
        .requests()
        .iter()
        .filter(|it| of_cached(&it.form["scope"]))
        .count();
    assert_eq!(cached, 1, "it stayed in memory");
    let peak = peak_resident_kib(program.id()).unwrap() * 1024;
    assert!(peak < MEMORY_LIMIT, "{peak}");
    assert!(
        entra.connections.load(Ordering::SeqCst) <= 64,
        "connections are reused"
    );
}

#[tokio::test]
async fn law_4_requests_that_wait_for_a_slow_entra_delay_no_cached_token() {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    assert_eq!(sidecar.token("resource=cached").await.status, 200);
    entra.answer(|_, _| Reply::Hang);
    let answered = Arc::new(AtomicUsize::new(0));
    let mut waiting = JoinSet::new();
    for _ in 0..MAX_QUEUE + 80 {
        let (answered, address) = (Arc::clone(&answered), sidecar.address);
        waiting.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let answer = ask(&mut stream, &request(&random(64))).await;
            answered.fetch_add(1, Ordering::SeqCst);
            answer.status
        });
    }
    // Those that find no place to wait are answered at once.
    let refused = async || answered.load(Ordering::SeqCst);
    poll::until("refused requests", refused, |count| *count >= 80).await;
    entra.until_requests(1 + 12).await;
    for _ in 0..20 {
        assert_eq!(sidecar.token("resource=cached").await.status, 200);
    }
    assert_eq!(answered.load(Ordering::SeqCst), 80, "the others still wait");
    assert_eq!(entra.requests().len(), 1 + 12);
    let statuses = waiting.join_all().await;
    assert!(statuses.iter().all(|status| *status == 503));
}

#[tokio::test]
async fn law_5_a_thousand_clients_at_once_get_their_first_token_by_one_exchange() {
    let entra = Entra::start("localhost").await;
    let program = Program::start(&entra, &[], &[]).await;
    // Longer than they need to connect and to ask.
    entra.delay(Duration::from_secs(3));
    raise_open_files();
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        let mut client = TcpStream::connect(program.address).await.unwrap();
        client.write_all(request("first").as_bytes()).await.unwrap();
        clients.push(client);
    }
    for mut client in clients {
        assert_eq!(read_one(&mut client).await.status, 200);
    }
    assert_eq!(entra.requests().len(), 1);
}

#[tokio::test]
async fn law_4_relays_that_hang_delay_no_cached_token() {
    let entra = Entra::start("localhost").await;
    // Accepts connections, and answers none until it is over.
    let imds = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let imds_address = imds.local_addr().unwrap();
    let port = format!("--metadata-port={}", imds_address.port());
    let accepted = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    tokio::spawn({
        let (accepted, is_over) = (Arc::clone(&accepted), Arc::clone(&is_over));
        async move {
            let mut kept = Vec::new();
            loop {
                let (mut stream, _) = imds.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                if is_over.load(Ordering::SeqCst) {
                    let _ = stream.read(&mut [0; 1024]).await.unwrap();
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
                    stream.write_all(answer).await.unwrap();
                }
                kept.push(stream);
            }
        }
    });
    let sidecar = Sidecar::start(&entra, &[&port]).await;
    assert_eq!(sidecar.token("resource=cached").await.status, 200);
    let get = "GET /metadata/instance HTTP/1.1\r\nHost: x\r\n\r\n";
    let slow_body =
        "POST /metadata/scheduledevents HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    let mut hanging = Vec::new();
    for request in [get, slow_body] {
        for _ in 0..240 {
            let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            hanging.push(stream);
        }
    }
    let count = async || accepted.load(Ordering::SeqCst);
    poll::until("relays", count, |count| *count >= 64).await;
    for _ in 0..20 {
        assert_eq!(sidecar.token("resource=cached").await.status, 200);
        assert_eq!(
            sidecar
                .token(&format!("resource={}", random(9)))
                .await
                .status,
            200
        );
    }
    // The newest 64 hang still, the others have made way for them.
    let mut oldest = hanging.remove(0);
    let busy = poll::event("an answer", read_one(&mut oldest)).await;
    assert!(
        busy.status == 503 && busy.body.contains("too many requests"),
        "{busy:?}"
    );
    // IMDS answers again: a new request gets a place at once, although all are taken.
    is_over.store(true, Ordering::SeqCst);
    let honest = poll::event("a place", sidecar.get("/metadata/instance", "")).await;
    assert_eq!((honest.status, &*honest.body), (200, "hi"), "{honest:?}");
    drop(hanging);
}

#[tokio::test]
async fn law_4_answers_that_no_client_reads_keep_no_place_from_another_relay() {
    const LENGTH: usize = 256 * 1024 * 1024;
    let entra = Entra::start("localhost").await;
    let imds = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("--metadata-port={}", imds.local_addr().unwrap().port());
    let begun = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let begun = Arc::clone(&begun);
        async move {
            loop {
                let (mut stream, _) = imds.accept().await.unwrap();
                let begun = Arc::clone(&begun);
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    let read = stream.read(&mut head).await.unwrap();
                    let is_large = head[..read].starts_with(b"GET /large");
                    let length = if is_large { LENGTH } else { 2 };
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    begun.fetch_add(1, Ordering::SeqCst);
                    let piece = [b'x'; 4096];
                    let mut left = length;
                    while left > 0 {
                        let piece = &piece[..left.min(4096)];
                        if stream.write_all(piece).await.is_err() {
                            return;
                        }
                        left -= piece.len();
                    }
                });
            }
        }
    });
    let sidecar = Sidecar::start(&entra, &[&port]).await;
    let mut unread = Vec::new();
    for nth in 1..=64 {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        let request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let count = async || begun.load(Ordering::SeqCst);
        poll::until("a large answer", count, |count| *count >= nth).await;
        unread.push(stream);
    }
    let honest = poll::event("a place", sidecar.get("/metadata/instance", "")).await;
    assert_eq!((honest.status, &*honest.body), (200, "xx"), "{honest:?}");
    // One of the others has lost its place: its answer is cut short.
    let cut = unread.into_iter().map(|mut stream| async move {
        let mut received = 0;
        let mut piece = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return received < LENGTH,
                Ok(count) => received += count,
            }
            if received >= LENGTH {
                return false;
            }
        }
    });
    let mut reads: JoinSet<bool> = cut.collect();
    let is_cut = async {
        while let Some(is_cut) = reads.join_next().await {
            if is_cut.unwrap() {
                return;
            }
        }
        panic!("all answers are whole");
    };
    poll::event("an answer that is cut short", is_cut).await;
}

#[tokio::test]
async fn a_flood_of_failures_is_logged_at_a_limited_rate_with_a_count() {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| aadsts(400, "invalid_resource", 500_011));
    let program = Program::start(&entra, &["--log-level=debug"], &[]).await;
    let start = Instant::now();
    let statuses = flood(program.address, 10, 100).await;
    assert!(statuses.iter().all(|status| *status == 400), "{statuses:?}");
    let refused = "GET /metadata/identity/info HTTP/1.1\r\nHost: x\r\n";
    for _ in 0..300 {
        assert_eq!(exchange(program.address, refused).await.status, 404);
    }
    let count = |log: &str, line: &str| log.matches(line).count();
    // The next window's first line has the count of the last.
    let suppressed = async || {
        program.token(&random(10)).await;
        program.log()
    };
    let is_counted = |log: &String| log.contains("\"suppressed\":");
    let log = poll::until("the count", suppressed, is_counted).await;
    let windows = usize::try_from(start.elapsed().as_secs() / 10).unwrap() + 1;
    for line in [
        "no token from the authority",
        "received token request",
        "refused a request",
    ] {
        let lines = count(&log, line);
        assert!((1..=windows * 100).contains(&lines), "{line}: {lines}");
    }
}

#[tokio::test]
async fn serves_tokens_below_a_low_limit_on_open_files() {
    let entra = Entra::start("localhost").await;
    let mut limited = program("/bin/sh");
    limited.args(["-c", "ulimit -n 128 && exec \"$0\" \"$@\"", BINARY]);
    let program = Program::start_as(limited, &entra, &[], &[]).await;
    let mut idle = Vec::new();
    for nth in 0..300 {
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        let answer = ask(&mut stream, &request(&format!("r{}", nth % 20))).await;
        assert_eq!(answer.status, 200);
        idle.push(stream);
    }
    // As many as have a place: the oldest idle connection makes way for others.
    let statuses = flood_on(32, program.address, 4, 64).await;
    assert!(statuses.contains(&200), "{statuses:?}");
    assert_eq!(program.token("r1").await.status, 200);
    let log = program.ended().await;
    assert!(!log.contains("cannot accept connections"), "{log}");
}

#[tokio::test]
async fn scrapes_that_are_not_read_take_a_bounded_memory() {
    let entra = Entra::start("localhost").await;
    let port = crate::process::free_port().await;
    let flag = format!("--metrics-port={port}");
    let program = Program::start(&entra, &[&flag], &[]).await;
    flood(program.address, 16, 1_000).await;
    let metrics = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let mut unread = Vec::new();
    for last in 1..=100 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(([127, 0, 1, last], 0).into()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
        stream.write_all(metrics.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    assert_eq!(program.token("a").await.status, 200);
    let peak = peak_resident_kib(program.id()).unwrap() * 1024;
    assert!(peak < MEMORY_LIMIT, "{peak}");
    drop(unread);
    let scrape = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let text = exchange(([127, 0, 0, 1], port).into(), scrape).await.body;
    let series = text.matches("azwi_proxy_token_expiry_seconds{").count();
    assert_eq!(series, 100);
}
