//! `asker RATE SECONDS`: waits for `/signal/go`, then requests tokens from IMDS at this rate over one
//! connection, as an application without a token cache does. Prints one line of JSON: the number of
//! tokens, the number of failures, and the latencies as `{bound in microseconds: count}`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

const REQUEST: &[u8] = b"GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net HTTP/1.1\r\n\
                         Host: 169.254.169.254\r\nMetadata: true\r\n\r\n";
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let (Some(Ok(rate)), Some(Ok(seconds))) = (numbers.next(), numbers.next()) else {
        panic!("asker RATE SECONDS");
    };
    // The first token needs an exchange, which is not measured.
    let mut connection = None;
    while ask(&mut connection).is_err() {
        sleep(Duration::from_millis(100));
    }
    println!("ready");
    while !Path::new("/signal/go").exists() {
        sleep(Duration::from_millis(20));
    }
    let (mut tokens, mut failures) = (0, 0);
    let mut latencies: BTreeMap<u64, u64> = BTreeMap::new();
    let start = Instant::now();
    for number in 0..rate * seconds {
        let due = start + Duration::from_secs(1) * number / rate;
        sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        if ask(&mut connection).is_ok() {
            tokens += 1;
            *latencies.entry(bound(sent.elapsed())).or_default() += 1;
        } else {
            failures += 1;
        }
    }
    let result = json!({ "tokens": tokens, "failures": failures, "latencies": latencies });
    println!("{result}");
}

/// Sends one request. If the server has closed the kept connection, sends it over a new one, as HTTP
/// clients do.
fn ask(kept: &mut Option<TcpStream>) -> io::Result<()> {
    if let Some(connection) = kept.take()
        && let Ok(()) = ask_on(connection, kept)
    {
        return Ok(());
    }
    let connection = TcpStream::connect("169.254.169.254:80")?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    ask_on(connection, kept)
}

fn ask_on(mut connection: TcpStream, kept: &mut Option<TcpStream>) -> io::Result<()> {
    connection.write_all(REQUEST)?;
    let mut answer = Vec::new();
    let mut part = [0; 8192];
    while !is_whole(&answer) {
        match connection.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    *kept = Some(connection);
    let is_token = answer.starts_with(b"HTTP/1.1 200 ");
    is_token
        .then_some(())
        .ok_or(io::ErrorKind::InvalidData.into())
}

/// Whether the answer has all of its body.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    matches!(length, Some(Ok(length)) if body.len() >= length)
}

/// The next of the bounds 10, 12, 14, … microseconds, each a fifth more than the last.
fn bound(latency: Duration) -> u64 {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let mut bound = 10;
    while bound < micros {
        bound += bound / 5;
    }
    bound
}
