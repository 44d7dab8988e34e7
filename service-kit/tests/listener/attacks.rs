//! Attacks on a listener's real socket. Each client address is one of 127.0.0.0/8.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode};
use service_kit::listener::{
    BodyRate, Limits, Listener, Protocol, RequestBody, Service, bind, is_slow,
};
use service_kit::shutdown::{Control, Phase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, sleep, timeout};

/// No time limit ends a connection while a test waits, so that a new one is served only if another makes way for it.
const LIMITS: Limits = Limits {
    connections: 64,
    connections_per_address: Some(16),
    idle: HOUR,
    head: HOUR,
    body: BodyRate {
        grace: HOUR,
        ..Limits::DEFAULT.body
    },
    answer: HOUR,
    ..Limits::DEFAULT
};

/// The longest wait of a test.
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long attackers that come back do so.
const ATTACK: Duration = Duration::from_secs(2);

const ATTACKER: u8 = 66;
const PROBE: u8 = 1;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const SLOW_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHo";
const LARGE: &[u8] = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
const SLOW_BODY: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{";

/// More than the sockets of both sides buffer.
static LARGE_ANSWER: LazyLock<Bytes> = LazyLock::new(|| vec![b'x'; 32 * 1024 * 1024].into());

/// Reads the body and says `ok`; `/wait` never answers, and `/large` says [`LARGE_ANSWER`].
struct Echo;

impl Service for Echo {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<RequestBody>, _: SocketAddr) -> Response<Full<Bytes>> {
        if request.uri().path() == "/wait" {
            std::future::pending::<()>().await;
        }
        if request.uri().path() == "/large" {
            return Response::new(LARGE_ANSWER.clone().into());
        }
        let mut response = Response::new("ok".into());
        if request
            .into_body()
            .collect()
            .await
            .is_err_and(|error| is_slow(&error))
        {
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
        }
        response
    }
}

/// A running listener.
struct Running {
    address: SocketAddr,
    control: Control,
    ended: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let socket = bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let control = Control::default();
    let listener = Listener {
        socket,
        service: Arc::new(Echo),
        limits,
        protocol: Protocol::default(),
    };
    let ended = tokio::spawn(listener.run(control.shutdown()));
    Running {
        address,
        control,
        ended,
    }
}

impl Running {
    /// A connection from 127.0.0.`last` that has sent `bytes`.
    async fn connect(&self, last: u8, bytes: &[u8]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        socket.bind(from).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        // The listener may have refused it already.
        let _ = stream.write_all(bytes).await;
        stream
    }

    async fn flood(&self, addresses: u8, each: usize, bytes: &[u8]) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        for _ in 0..each {
            for nth in 0..addresses {
                streams.push(self.connect(ATTACKER + nth, bytes).await);
            }
        }
        streams
    }

    /// Whether a client at another address is answered in time.
    async fn serves(&self) -> bool {
        let asking = async {
            let mut stream = self.connect(PROBE, GET).await;
            answer(&mut stream).await
        };
        let answered = timeout(MINUTE, asking).await;
        answered.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 OK"))
    }
}

/// Reads until `ok` or the end.
async fn answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(read).unwrap()
}

/// Holds a connection open, and opens it again as soon as the listener has closed it. It reads nothing.
async fn attack(listener: Arc<Running>, last: u8, bytes: &'static [u8], connected: Arc<Semaphore>) {
    let mut ticks = interval(Duration::from_millis(50));
    loop {
        let mut stream = listener.connect(last, bytes).await;
        connected.add_permits(1);
        loop {
            ticks.tick().await;
            let mut first = [0];
            let peeked = timeout(Duration::from_millis(1), stream.peek(&mut first)).await;
            if matches!(peeked, Ok(Ok(0) | Err(_))) {
                break;
            }
            // Bodies trickle on, and nothing else does.
            let next: &[u8] = if bytes == SLOW_BODY { b"x" } else { b"" };
            if stream.write_all(next).await.is_err() {
                break;
            }
        }
    }
}

/// As [`assert_serves_under`], by clients that come back at once, for some seconds.
async fn assert_serves_while_attacked(bytes: &'static [u8]) {
    for addresses in [1, 50] {
        let listener = Arc::new(start(LIMITS).await);
        let (mut attacks, connected) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
        for nth in 0..128 {
            let (listener, last) = (Arc::clone(&listener), ATTACKER + nth % addresses);
            attacks.spawn(attack(listener, last, bytes, Arc::clone(&connected)));
        }
        let _ = timeout(MINUTE, connected.acquire_many(128)).await.unwrap();
        let (end, mut served) = (Instant::now() + ATTACK, 0);
        while Instant::now() < end || served < 5 {
            assert!(listener.serves().await, "{addresses} addresses");
            served += 1;
        }
    }
}

/// Waits until the other side has closed the connection.
async fn closed(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut rest = Vec::new();
    let reading = timeout(MINUTE, stream.read_to_end(&mut rest));
    // A reset is an end, too.
    let _ = reading.await.expect("still open after a minute");
    start.elapsed()
}

/// Floods of `bytes`, from one address and from fifty, with twice as many connections as the limit.
async fn assert_serves_under(bytes: &[u8]) {
    for (addresses, each) in [(1, 128), (50, 3)] {
        let listener = start(LIMITS).await;
        let held = listener.flood(addresses, each, bytes).await;
        for _ in 0..5 {
            assert!(listener.serves().await, "{addresses} addresses");
        }
        drop(held);
    }
}

#[tokio::test]
async fn serves_under_a_flood_of_silent_connections() {
    assert_serves_under(b"").await;
}

#[tokio::test]
async fn serves_under_a_flood_of_slow_heads() {
    assert_serves_under(SLOW_HEAD).await;
}

#[tokio::test]
async fn serves_under_a_flood_of_idle_connections() {
    assert_serves_under(GET).await;
}

#[tokio::test]
async fn serves_while_silent_clients_come_back() {
    assert_serves_while_attacked(b"").await;
}

#[tokio::test]
async fn serves_while_clients_with_slow_heads_come_back() {
    assert_serves_while_attacked(SLOW_HEAD).await;
}

#[tokio::test]
async fn serves_while_clients_with_slow_bodies_come_back() {
    assert_serves_while_attacked(SLOW_BODY).await;
}

#[tokio::test]
async fn serves_while_clients_that_read_no_answer_come_back() {
    assert_serves_while_attacked(LARGE).await;
}

#[tokio::test]
async fn one_address_cannot_take_all_places_with_slow_requests() {
    for bytes in [SLOW_BODY, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let listener = start(LIMITS).await;
        let held = listener.flood(1, 128, bytes).await;
        assert!(listener.serves().await);
        drop(held);
    }
}

/// Every API server comes from one address where a NAT is in front of the nodes.
#[tokio::test]
async fn answers_a_burst_of_one_address_above_its_limit() {
    let listener = Arc::new(start(LIMITS).await);
    let mut asking = JoinSet::new();
    for _ in 0..24 {
        let listener = Arc::clone(&listener);
        asking.spawn(async move {
            let mut stream = listener.connect(PROBE, b"").await;
            // As long as a TLS handshake.
            sleep(Duration::from_millis(20)).await;
            let _ = stream.write_all(GET).await;
            (answer(&mut stream).await, stream)
        });
    }
    let answered = timeout(MINUTE, asking.join_all()).await.unwrap();
    let answered = answered
        .iter()
        .filter(|(answer, _)| answer.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(answered.count(), 24);
}

#[tokio::test]
async fn refuses_a_connection_of_an_address_that_stays_full() {
    let listener = start(LIMITS).await;
    let wait = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n";
    let held = listener.flood(1, 16, wait).await;
    let took = closed(&mut listener.connect(ATTACKER, GET).await).await;
    assert!((4..8).contains(&took.as_secs()), "{took:?}");
    drop(held);
}

#[tokio::test]
async fn slow_bodies_from_fifty_addresses_end_soon() {
    let mut limits = LIMITS;
    limits.body.grace = Duration::from_millis(300);
    let listener = start(limits).await;
    let held = listener.flood(50, 2, SLOW_BODY).await;
    assert!(listener.serves().await);
    drop(held);
}

#[tokio::test]
async fn serves_under_a_flood_that_goes_on() {
    let listener = Arc::new(start(LIMITS).await);
    let flood = tokio::spawn({
        let listener = Arc::clone(&listener);
        async move {
            let mut held = std::collections::VecDeque::new();
            for nth in 0_u32.. {
                let last = ATTACKER + u8::try_from(nth % 50).unwrap();
                held.push_back(listener.connect(last, b"").await);
                if held.len() > 200 {
                    held.pop_front();
                }
            }
        }
    });
    sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        assert!(listener.serves().await);
    }
    flood.abort();
}

#[tokio::test]
async fn a_served_connection_outlives_a_flood_of_silent_ones() {
    let listener = start(LIMITS).await;
    let mut kept = listener.connect(PROBE, GET).await;
    answer(&mut kept).await;
    let held = listener.flood(50, 3, b"").await;
    kept.write_all(GET).await.unwrap();
    assert!(answer(&mut kept).await.starts_with("HTTP/1.1 200 OK"));
    drop(held);
}

#[tokio::test]
async fn a_slow_head_ends_while_an_idle_connection_stays() {
    let mut limits = LIMITS;
    limits.head = Duration::from_millis(300);
    let listener = start(limits).await;
    let mut idle = listener.connect(PROBE, GET).await;
    answer(&mut idle).await;
    let mut slow = listener.connect(ATTACKER, SLOW_HEAD).await;
    let took = closed(&mut slow).await;
    assert!(took >= Duration::from_millis(250), "{took:?}");
    idle.write_all(GET).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_slow_body_gets_408_and_the_connection_ends() {
    let mut limits = LIMITS;
    limits.body.grace = Duration::from_millis(300);
    let listener = start(limits).await;
    let mut slow = listener.connect(ATTACKER, SLOW_BODY).await;
    assert!(answer(&mut slow).await.starts_with("HTTP/1.1 408 "));
    closed(&mut slow).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let listener = start(LIMITS).await;
    let head = format!(
        "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(LIMITS.head_size)
    );
    let mut stream = listener.connect(PROBE, head.as_bytes()).await;
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_last_answer_is_followed_by_an_end_and_not_a_reset() {
    let listener = start(LIMITS).await;
    // More than the listener reads before it answers.
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let bytes = [request.as_slice(), &[b'x'; 512 * 1024]].concat();
    let mut stream = listener.connect(PROBE, &bytes).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    let end = timeout(MINUTE, stream.read(&mut [0])).await.unwrap();
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn closes_idle_connections_and_answers_what_is_under_way() {
    let listener = start(LIMITS).await;
    let mut idle = listener.connect(PROBE, GET).await;
    answer(&mut idle).await;
    let mut silent = listener.connect(PROBE, b"").await;
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n";
    let mut busy = listener.connect(PROBE, head).await;
    // The service has it when its first byte is read, after the head.
    busy.write_all(b"a").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    listener.control.enter(Phase::Closed);
    closed(&mut idle).await;
    closed(&mut silent).await;
    assert!(!listener.ended.is_finished());
    busy.write_all(b"b").await.unwrap();
    let answered = answer(&mut busy).await;
    assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
    timeout(MINUTE, listener.ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(listener.address).await.is_err());
}
