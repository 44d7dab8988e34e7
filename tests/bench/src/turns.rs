//! Measures servers in turns, so that other load on the machine affects each of them alike.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::arguments::Turns;
use crate::paced::{self, Schedule};
use crate::process::{Running, Server};
use crate::table::{Goal, Row};
use crate::wrk;

/// The rate at which latency is measured, in requests a second.
pub const RATE: u32 = 1_000;

/// A server without requests for this long counts as idle.
pub const IDLE: Duration = Duration::from_millis(500);

/// A load that wrk generates.
#[derive(Clone, Debug)]
pub struct Load {
    /// Its name in the table.
    pub what: String,
    /// The goal of its row.
    pub goal: Goal,
    /// The number of connections.
    pub connections: u32,
    /// The URL's scheme.
    pub scheme: &'static str,
    /// The URL's path and query.
    pub target: &'static str,
    /// Further arguments for wrk.
    pub more: Vec<String>,
}

impl Load {
    /// Loads one server, and returns wrk's count and the server's CPU time.
    ///
    /// # Errors
    ///
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

    /// Loads each server, round by round. Returns two rows: requests a second, and requests per second of
    /// the server's CPU time, which depends less on other load on the machine.
    ///
    /// # Errors
    ///
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
///
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

/// The duration in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Prints progress for the user.
pub fn note(text: &str) {
    eprintln!("  {text}");
}
