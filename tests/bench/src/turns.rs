//! Servers take turns, so that each round's figures saw the same weather.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::arguments::Turns;
use crate::paced::{self, Schedule};
use crate::process::{Running, Server};
use crate::table::{Goal, Row};
use crate::wrk;

/// Requests a second when latency is measured.
pub const RATE: u32 = 1_000;

/// A server that has nothing to do for this long is idle.
pub const IDLE: Duration = Duration::from_millis(500);

/// What wrk does to a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// What the table calls it.
    pub what: String,
    /// What is to be reached.
    pub goal: Goal,
    /// The number of connections.
    pub connections: u32,
    /// The URL's scheme.
    pub scheme: &'static str,
    /// The URL's path and query.
    pub target: &'static str,
    /// More arguments of wrk's.
    pub more: Vec<String>,
}

impl Load {
    /// Loads one server; what was answered, and the CPU time that it took.
    ///
    /// # Errors
    /// When the server fails.
    pub fn once(&self, server: &Running<'_>, seconds: u32) -> Result<(wrk::Count, Duration)> {
        let url = format!(
            "{}://{}{}",
            self.scheme,
            server.server().address(),
            self.target
        );
        let before = server.cpu_time()?;
        let count = wrk::load(&url, self.connections, seconds, &self.more)?;
        Ok((count, server.cpu_time()? - before))
    }

    /// Loads each server, round by round. Two rows: by the clock, and by the server's CPU time, which
    /// other work on the machine touches less.
    ///
    /// # Errors
    /// When a server fails.
    pub fn rounds(&self, servers: &[&Running<'_>], turns: &Turns) -> Result<[Row; 2]> {
        let mut rates = Row::new(format!("{}, requests/s", self.what), self.goal);
        let mut efficiency = Row::new("the same per second of the server's CPU time", Goal::None);
        for round in 1..=turns.rounds {
            for server in servers {
                let name = server.server().name;
                note(&format!("{}: {name}, round {round}", self.what));
                let (count, cpu_time) = self.once(server, turns.seconds)?;
                rates.add(name, count.per_second);
                efficiency.add(name, count.requests as f64 / cpu_time.as_secs_f64());
            }
        }
        Ok([rates, efficiency])
    }
}

/// The p99 of each server at a constant rate, round by round. `connect` opens the connections of one
/// turn, which must not block.
///
/// # Errors
/// When a server fails.
pub fn latency<S: Read + Write>(
    what: String,
    goal: Goal,
    servers: &[&Running<'_>],
    turns: &Turns,
    request: &[u8],
    connect: impl Fn(&Server) -> Result<Vec<S>>,
) -> Result<Row> {
    let schedule = Schedule {
        request,
        interval: Duration::from_secs(1) / RATE,
        count: RATE * turns.seconds,
    };
    let mut row = Row::new(format!("{what}, p99 at {RATE} requests/s, ms"), goal);
    for round in 1..=turns.rounds {
        for server in servers {
            let server = server.server();
            note(&format!(
                "{what}: {}, {RATE} requests/s, round {round}",
                server.name
            ));
            let latencies = paced::latencies(connect(server)?.into_iter().map(Ok), schedule)
                .with_context(|| format!("{} fails at a constant rate", server.name))?;
            let p99 = paced::p99(latencies).context("no request was sent")?;
            row.add(server.name, milliseconds(p99));
        }
    }
    Ok(row)
}

/// As the table has it.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Tells who waits what is going on.
pub fn note(text: &str) {
    eprintln!("  {text}");
}
