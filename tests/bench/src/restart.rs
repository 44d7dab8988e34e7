//! Measures a mass restart: thousands of proxies that start at once against an Entra that throttles, and
//! their renewals, with time compressed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use azure_emulator::Record;
use contract::variable;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

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
#[derive(Default)]
struct Outcome {
    /// The time of each first token, sorted.
    first_tokens: Vec<Duration>,
    /// Answers other than 200 before it.
    refusals: usize,
    /// Answers after it that had no valid token.
    failures: usize,
    /// Applications whose last answer was a valid token.
    valid_at_the_end: usize,
}

/// One application for each proxy asks until it has a token, and then every few seconds, as one in use, until
/// two lifetimes after the last application's first token.
async fn applications(begin: Instant, proxies: &[Proxy]) -> Result<Outcome> {
    let (ends, end) = watch::channel(None);
    let (first, mut first_tokens) = mpsc::unbounded_channel();
    let mut asking = JoinSet::new();
    for proxy in proxies {
        let application = Application {
            proxy: proxy.address,
            begin,
            end: end.clone(),
        };
        asking.spawn(application.live(first.clone()));
    }
    drop(first);
    let mut outcome = Outcome::default();
    while outcome.first_tokens.len() < proxies.len() {
        let (time, refusals) = first_tokens
            .recv()
            .await
            .context("an application got no token")?;
        outcome.first_tokens.push(time);
        outcome.refusals += refusals;
    }
    outcome.first_tokens.sort_unstable();
    let last = outcome.first_tokens.last().copied().unwrap_or_default();
    note(&format!(
        "all have a token after {:.1} s",
        last.as_secs_f64()
    ));
    ends.send(Some(
        begin + last + Duration::from_secs(LIFETIME.seconds.into()) * 2,
    ))?;
    while let Some(ended) = asking.join_next().await {
        let (failures, is_valid) = ended??;
        outcome.failures += failures;
        outcome.valid_at_the_end += usize::from(is_valid);
    }
    Ok(outcome)
}

struct Application {
    proxy: SocketAddr,
    begin: Instant,
    /// When it ends, as soon as that is known.
    end: watch::Receiver<Option<Instant>>,
}

impl Application {
    /// Returns the answers without a valid token after the first one with it, and whether the last had one.
    async fn live(self, first: UnboundedSender<(Duration, usize)>) -> Result<(usize, bool)> {
        first.send(self.first_token().await?)?;
        drop(first);
        let mut failures = 0;
        loop {
            sleep(INTERVAL).await;
            let answer = ask(self.proxy).await;
            let is_valid = answer.is_ok_and(|answer| answer.is_valid());
            failures += usize::from(!is_valid);
            if self.end.borrow().is_some_and(|end| end < Instant::now()) {
                return Ok((failures, is_valid));
            }
        }
    }

    /// Asks as Azure's SDKs do: again after `Retry-After`, else after 0.8 s, 1.6 s and so on. Returns when it got
    /// the token, and the refusals before.
    async fn first_token(&self) -> Result<(Duration, usize)> {
        let mut pause = Duration::from_millis(800);
        let mut refused = 0;
        loop {
            match ask(self.proxy).await {
                Ok(answer) if answer.status == 200 => return Ok((self.begin.elapsed(), refused)),
                Ok(answer) => {
                    refused += 1;
                    sleep(answer.retry_after.unwrap_or(pause)).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
                // It starts.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
            ensure!(
                self.begin.elapsed() < DEADLINE,
                "no token from {} in {DEADLINE:?}",
                self.proxy
            );
        }
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

    fn within(&self, seconds: Range<u64>) -> Period {
        let granted = || self.granted.range(seconds.clone());
        let throttled = || self.throttled.range(seconds.clone());
        let mut all = BTreeMap::<_, usize>::new();
        for (second, count) in granted().chain(throttled()) {
            *all.entry(second).or_default() += count;
        }
        Period {
            granted: granted().map(|(_, count)| count).sum(),
            throttled: throttled().map(|(_, count)| count).sum(),
            most_per_second: all.into_values().max().unwrap_or_default(),
            first: granted().next().map_or(0, |(second, _)| *second),
            last: granted().next_back().map_or(0, |(second, _)| *second),
        }
    }
}

/// The exchanges of a part of the time.
#[derive(Debug, PartialEq, Eq)]
struct Period {
    granted: usize,
    throttled: usize,
    /// Both, in the busiest second.
    most_per_second: usize,
    /// The second of the first exchange that was granted.
    first: u64,
    /// The second of the last one.
    last: u64,
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
    let starts = exchanges.within(0..last + 1);
    let renewals = exchanges.within(last + 1..u64::MAX);
    [
        "| mass restart | outcome |".to_owned(),
        "|---|---|".to_owned(),
        format!(
            "| {count} proxies started within {:.0} s; Entra grants {} exchanges a second | a first token after {:.1} s (median), {:.1} s (99 %), {:.1} s (all) |",
            started.as_secs_f64(),
            arguments.limit,
            at(0.5),
            at(0.99),
            at(1.0),
        ),
        format!(
            "| exchanges until then | {} granted, {} answered with 429, at most {} in a second; applications saw {} refusals |",
            starts.granted, starts.throttled, starts.most_per_second, outcome.refusals
        ),
        format!(
            "| renewals in the next {} s, of tokens of {} s, to be refreshed after {} s | {} granted from second {} to {}, {} answered with 429, at most {} in a second |",
            LIFETIME.seconds * 2,
            LIFETIME.seconds,
            LIFETIME.refresh_in.unwrap_or_default(),
            renewals.granted,
            renewals.first,
            renewals.last,
            renewals.throttled,
            renewals.most_per_second,
        ),
        format!(
            "| applications, each asking every {} s | {} answers without a valid token after the first one; {} of {count} had a valid token at the end |",
            INTERVAL.as_secs(),
            outcome.failures,
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
/// How often an application asks: a token that is in use is refreshed.
const INTERVAL: Duration = Duration::from_secs(10);
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
        let second = exchanges.within(2..u64::MAX);
        let expected = Period {
            granted: 7,
            throttled: 2,
            most_per_second: 5,
            first: 7,
            last: 9,
        };
        assert_eq!(second, expected);
        assert_eq!(exchanges.within(0..2).granted, 5);
    }
}
