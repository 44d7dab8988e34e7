//! Measures a mass restart: thousands of proxies that start at once against an Entra that throttles, and
//! their renewals, with time compressed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use azure_emulator::Record;
use contract::variable;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::arguments;
use crate::entra::{self, Entra, Lifetime};
use crate::process::Scratch;
use crate::table;
use crate::turns::note;

/// Measures it and prints the table.
///
/// # Errors
///
/// When a proxy cannot be started, or has no token at the end.
pub fn run(arguments: &arguments::Restart) -> Result<()> {
    let scratch = Scratch::new()?;
    let entra = Entra::throttling(arguments.limit, LIFETIME).context(
        "cannot start Entra on port 443 (tests/bench/run makes a network namespace for it)",
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    note(&format!("{} proxies start", arguments.proxies));
    let begin = std::time::Instant::now();
    let since = UNIX_EPOCH.elapsed()?.as_secs();
    // The emulator's rules do not verify it.
    let token = scratch.write("service-account-token", "e30.e30.c2ln")?;
    let log = File::create(scratch.file("proxies.log"))?;
    let proxies: Vec<_> = (0..arguments.proxies)
        .map(|number| {
            let log = log.try_clone()?;
            Proxy::start(&arguments.proxy, FIRST_PORT + number, &entra, &token, log)
        })
        .collect::<Result<_>>()?;
    let started = begin.elapsed();
    note("applications ask for their first token");
    let outcome = runtime.block_on(applications(begin.into(), &proxies))?;
    let exchanges = Exchanges::of(&entra.requests()?, since);
    println!("{}:\n", table::machine());
    println!("{}", report(arguments, started, &outcome, &exchanges));
    ensure!(
        outcome.valid_at_the_end == proxies.len(),
        "{} of {} proxies have a token at the end",
        outcome.valid_at_the_end,
        proxies.len()
    );
    Ok(())
}

/// A proxy of its own identity's pod. It ends when this is dropped.
struct Proxy {
    address: SocketAddr,
    child: Child,
}

impl Proxy {
    fn start(program: &Path, port: u16, entra: &Entra, token: &str, log: File) -> Result<Self> {
        let child = Command::new(program)
            .env_clear()
            .env(variable::CLIENT_ID, "66666666-7777-8888-9999-000000000000")
            .env(variable::TENANT_ID, entra::TENANT)
            .env(variable::FEDERATED_TOKEN_FILE, token)
            .env(
                variable::AUTHORITY_HOST,
                format!("https://{}/", entra::NAME),
            )
            .env(variable::CA_DATA, entra.ca())
            .env(variable::LOOPBACK, "on")
            .arg(format!("--proxy-port={port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            child,
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the applications saw.
struct Outcome {
    /// The time of each first token, sorted.
    first_tokens: Vec<Duration>,
    /// Answers other than 200 before it.
    refusals: usize,
    valid_at_the_end: usize,
}

/// One application for each proxy asks until it has a token. Asks again after two renewals.
async fn applications(begin: Instant, proxies: &[Proxy]) -> Result<Outcome> {
    let mut asking = JoinSet::new();
    for proxy in proxies {
        asking.spawn(first_token(begin, proxy.address));
    }
    let mut first_tokens = Vec::new();
    let mut refusals = 0;
    while let Some(first) = asking.join_next().await {
        let (time, refused) = first??;
        first_tokens.push(time);
        refusals += refused;
    }
    first_tokens.sort_unstable();
    let last = first_tokens.last().copied().unwrap_or_default();
    note(&format!(
        "all have a token after {:.1} s",
        last.as_secs_f64()
    ));
    sleep_until(begin + last + Duration::from_secs(LIFETIME.seconds.into()) * 2).await;
    let mut valid_at_the_end = 0;
    for proxy in proxies {
        let answer = ask(proxy.address).await;
        valid_at_the_end += usize::from(answer.is_ok_and(|answer| answer.is_valid()));
    }
    Ok(Outcome {
        first_tokens,
        refusals,
        valid_at_the_end,
    })
}

/// Asks as Azure's SDKs do: again after `Retry-After`, else after 0.8 s, 1.6 s and so on.
async fn first_token(begin: Instant, address: SocketAddr) -> Result<(Duration, usize)> {
    let mut pause = Duration::from_millis(800);
    let mut refused = 0;
    loop {
        match ask(address).await {
            Ok(answer) if answer.status == 200 => return Ok((begin.elapsed(), refused)),
            Ok(answer) => {
                refused += 1;
                sleep(answer.retry_after.unwrap_or(pause)).await;
                pause = (pause * 2).min(Duration::from_secs(60));
            }
            // It starts.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
        ensure!(
            begin.elapsed() < DEADLINE,
            "no token from {address} in {DEADLINE:?}"
        );
    }
}

struct Answer {
    body: String,
    retry_after: Option<Duration>,
    status: u16,
}

impl Answer {
    /// Whether it is a token that has not expired.
    fn is_valid(&self) -> bool {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let expires = body.get("expires_on").and_then(Value::as_str);
        let expires = expires.and_then(|it| it.parse().ok());
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        self.status == 200 && expires.is_some_and(|expires: u64| expires > now)
    }
}

async fn ask(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let retry_after = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let seconds = name.eq_ignore_ascii_case("retry-after").then_some(value)?;
        Some(Duration::from_secs(seconds.trim().parse().ok()?))
    });
    Ok(Answer {
        body: body.to_owned(),
        retry_after,
        status: status.ok_or(io::ErrorKind::InvalidData)?,
    })
}

/// The exchanges that Entra was asked for, by the second since the start.
#[derive(Default)]
struct Exchanges {
    granted: BTreeMap<u64, usize>,
    throttled: BTreeMap<u64, usize>,
}

impl Exchanges {
    fn of(records: &[Record], since: u64) -> Self {
        let mut exchanges = Self::default();
        for record in records {
            let second = u64::try_from(record.time).unwrap_or_default();
            let by_second = match record.status {
                Some(429) => &mut exchanges.throttled,
                _ => &mut exchanges.granted,
            };
            *by_second.entry(second.saturating_sub(since)).or_default() += 1;
        }
        exchanges
    }

    /// Granted and throttled exchanges in these seconds, the most in one second, and the seconds of the
    /// first and the last.
    fn within(&self, seconds: std::ops::Range<u64>) -> (usize, usize, usize, u64, u64) {
        let granted = || self.granted.range(seconds.clone());
        let throttled = || self.throttled.range(seconds.clone());
        let mut all = BTreeMap::<_, usize>::new();
        for (second, count) in granted().chain(throttled()) {
            *all.entry(second).or_default() += count;
        }
        (
            granted().map(|(_, count)| count).sum(),
            throttled().map(|(_, count)| count).sum(),
            all.into_values().max().unwrap_or_default(),
            granted().next().map_or(0, |(second, _)| *second),
            granted().next_back().map_or(0, |(second, _)| *second),
        )
    }
}

fn report(
    arguments: &arguments::Restart,
    started: Duration,
    outcome: &Outcome,
    exchanges: &Exchanges,
) -> String {
    let count = outcome.first_tokens.len();
    let at = |part: f64| {
        let index = ((count - 1) as f64 * part) as usize;
        outcome
            .first_tokens
            .get(index)
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
    };
    let last = at(1.0).ceil() as u64;
    let (granted, throttled, peak, ..) = exchanges.within(0..last + 1);
    let (renewed, throttled_again, most, from, to) = exchanges.within(last + 1..u64::MAX);
    [
        "| mass restart | outcome |".to_owned(),
        "|---|---|".to_owned(),
        format!(
            "| {count} proxies started within {:.0} s, Entra grants {} exchanges a second | a first token after {:.1} s (median), {:.1} s (99 %), {:.1} s (all) |",
            started.as_secs_f64(),
            arguments.limit,
            at(0.5),
            at(0.99),
            at(1.0),
        ),
        format!(
            "| the same | {granted} exchanges granted, {throttled} answered with 429, at most {peak} in a second; applications saw {} refusals |",
            outcome.refusals
        ),
        format!(
            "| renewals of tokens of {} s, to be refreshed after {} s, twice | {renewed} granted from second {from} to {to}, {throttled_again} answered with 429, at most {most} in a second |",
            LIFETIME.seconds,
            LIFETIME.refresh_in.unwrap_or_default(),
        ),
        format!(
            "| at the end | {} of {count} have a valid token |",
            outcome.valid_at_the_end
        ),
    ]
    .join("\n")
}

/// An hour, compressed.
const LIFETIME: Lifetime = Lifetime {
    seconds: 120,
    refresh_in: Some(60),
};
const FIRST_PORT: u16 = 10_000;
const DEADLINE: Duration = Duration::from_secs(300);
const REQUEST: &[u8] = b"GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net HTTP/1.1\r\n\
                         Host: localhost\r\nMetadata: true\r\nConnection: close\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_exchanges_of_a_part_of_the_time() {
        let exchanges = Exchanges {
            granted: BTreeMap::from([(1, 5), (7, 3), (9, 4)]),
            throttled: BTreeMap::from([(7, 2)]),
        };
        assert_eq!(exchanges.within(0..2), (5, 0, 5, 1, 1));
        assert_eq!(exchanges.within(2..u64::MAX), (7, 2, 5, 7, 9));
    }
}
