//! The proxy's numbers.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use contract::variable;

use crate::arguments;
use crate::client;
use crate::cores::Cores;
use crate::distance::Distance;
use crate::entra::{self, Entra};
use crate::paced::{self, Schedule};
use crate::process::{Running, Scratch, Server};
use crate::table::{self, BARE, Goal, Row};
use crate::wrk;

const PROXY: &str = "proxy";
const PEER: &str = "peer";

/// A token request as the SDKs write it.
const TARGET: &str = "/metadata/identity/oauth2/token\
    ?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";
const METADATA: &str = "Metadata: true";

/// How often a start is measured, and how often a first token.
const STARTS: u32 = 20;
const FIRST_TOKENS: u32 = 10;

/// How many connections wrk has.
const CONNECTIONS: [u32; 2] = [16, 64];
/// How many requests over 64 connections come before the memory is read again.
const MILLION: u64 = 1_000_000;

/// Requests a second for the latency, and over how many connections.
const RATE: u32 = 1_000;
const PACED_CONNECTIONS: u32 = 16;

/// The round trip to Entra for the first token, and for the first calls: so long that all of
/// them have come before the first token does.
const ROUND_TRIP: Duration = Duration::from_millis(50);
const LONG_ROUND_TRIP: Duration = Duration::from_secs(1);
const FIRST_CALLS: u32 = 1_000;

/// A server that has nothing to do for this long is idle.
const IDLE: Duration = Duration::from_millis(500);

/// Measures everything and prints the table.
///
/// # Errors
/// When a server fails, or this machine lacks something.
pub fn run(arguments: &arguments::Proxy) -> Result<()> {
    let cores = Cores::split()?;
    let scratch = Scratch::new()?;
    let entra = Entra::start()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 443)).context(
        "cannot stand in for Entra on port 443 (tests/bench/run makes a network for it)",
    )?;
    let distance = Distance::between(listener, entra.address)?;
    let bench = Bench {
        cores,
        distance,
        entra,
        scratch,
    };

    let proxy = bench.proxy(arguments)?;
    let bare = bench.bare(&proxy)?;
    let mut servers = vec![proxy, bare];
    if let Some(peer) = &arguments.turns.peer {
        servers.push(bench.peer(peer)?);
    }
    let mut rows = bench.under_load(&servers, &arguments.turns)?;
    rows.push(bench.starts(&servers)?);
    servers.retain(|server| server.name != BARE);
    rows.push(bench.first_tokens(&servers)?);
    rows.push(bench.first_calls(&servers)?);

    let mut names = vec![PROXY, BARE];
    names.extend(arguments.turns.peer.as_ref().map(|_| PEER));
    println!("`tests/bench/run proxy`, {}:\n", table::machine());
    println!("{}", table::render(&names, &rows));
    Ok(())
}

struct Bench {
    cores: Cores,
    distance: Distance,
    entra: Entra,
    scratch: Scratch,
}

impl Bench {
    /// Our proxy, started as the webhook starts it.
    fn proxy(&self, arguments: &arguments::Proxy) -> Result<Server> {
        let program = arguments
            .proxy
            .to_str()
            .context("the proxy's path is no text")?;
        let mut server = self.server(PROXY, 8000)?;
        server.command = vec![program.to_owned(), "--proxy-port={port}".to_owned()];
        server
            .environment
            .insert(variable::CA_DATA, self.entra.ca.clone());
        Ok(server)
    }

    /// Another proxy. It finds the CA where OpenSSL and Go look for it.
    fn peer(&self, command: &str) -> Result<Server> {
        let mut server = self.server(PEER, 8002)?;
        server.command = Server::shell(command);
        let ca = self.scratch.write("ca.pem", &self.entra.ca)?;
        server.environment.insert("SSL_CERT_FILE", ca);
        Ok(server)
    }

    fn server(&self, name: &'static str, port: u16) -> Result<Server> {
        // Entra is not asked to verify it.
        let token = self
            .scratch
            .write("service-account-token", "e30.e30.c2ln")?;
        let environment = [
            (
                variable::CLIENT_ID,
                "66666666-7777-8888-9999-000000000000".to_owned(),
            ),
            (
                variable::TENANT_ID,
                "11111111-2222-3333-4444-555555555555".to_owned(),
            ),
            (variable::FEDERATED_TOKEN_FILE, token),
            (
                variable::AUTHORITY_HOST,
                format!("https://{}/", entra::NAME),
            ),
        ];
        Ok(Server {
            name,
            command: Vec::new(),
            environment: environment.into(),
            port,
            log: self.scratch.file(&format!("{name}.log")),
        })
    }

    /// The bare server with the proxy's own answer.
    fn bare(&self, proxy: &Server) -> Result<Server> {
        let answer = self.start(proxy)?.answer(&token_request(""))?.bytes;
        let bench = std::env::current_exe()?;
        let bench = bench.to_str().context("this program's path is no text")?;
        let file = self.scratch.write("answer", &answer)?;
        let mut server = self.server(BARE, 8001)?;
        server.command = [bench, "bare-http", "--port={port}", "--answer", &file]
            .map(str::to_owned)
            .to_vec();
        let same = self.start(&server)?.answer(&token_request(""))?.bytes;
        ensure!(
            same.len() == answer.len(),
            "the bare server does not answer the proxy's bytes:\n{}\n{}",
            String::from_utf8_lossy(&answer),
            String::from_utf8_lossy(&same),
        );
        Ok(server)
    }

    fn start<'a>(&self, server: &'a Server) -> Result<Running<'a>> {
        let mut running = server.start(&self.cores)?;
        running.ready(server.address(), &readiness_request())?;
        Ok(running)
    }

    fn under_load(&self, servers: &[Server], turns: &arguments::Turns) -> Result<Vec<Row>> {
        let running: Vec<_> = servers
            .iter()
            .map(|server| self.start(server))
            .collect::<Result<_>>()?;
        let mut rows = vec![self.idle_memory(&running)?];
        let mut million = vec![0; running.len()];
        for connections in CONNECTIONS {
            let mut rates = Row::new(
                format!("cached token, {connections} connections, requests/s"),
                Goal::ShareOfBare(0.9),
            );
            let mut efficiency = Row::new("the same, requests per second of CPU time", Goal::None);
            for round in 1..=turns.rounds {
                for (server, million) in running.iter().zip(&mut million) {
                    let name = server.server().name;
                    note(&format!("{name}: {connections} connections, round {round}"));
                    let (count, cpu_time) = load(server, connections, turns.seconds)?;
                    rates.add(name, count.per_second);
                    efficiency.add(name, count.requests as f64 / cpu_time.as_secs_f64());
                    if connections == 64 {
                        *million += count.requests;
                    }
                }
            }
            rows.extend([rates, efficiency]);
        }
        rows.push(self.latency(&running, turns)?);
        let mut memory = Row::new(
            "resident memory after a million requests over 64 connections, MiB",
            Goal::AtMost(6.0),
        );
        for (server, mut million) in running.iter().zip(million) {
            while million < MILLION {
                million += load(server, 64, turns.seconds)?.0.requests;
            }
            memory.add(server.server().name, server.resident_memory()?);
        }
        rows.insert(1, memory);
        Ok(rows)
    }

    fn idle_memory(&self, running: &[Running<'_>]) -> Result<Row> {
        std::thread::sleep(IDLE);
        let mut row = Row::new("resident memory, idle, MiB", Goal::AtMost(4.5));
        for server in running {
            row.add(server.server().name, server.resident_memory()?);
        }
        Ok(row)
    }

    fn latency(&self, running: &[Running<'_>], turns: &arguments::Turns) -> Result<Row> {
        let mut row = Row::new(
            format!("p99 at {RATE} requests/s, ms"),
            Goal::TimesBare(1.25),
        );
        let request = token_request("");
        for round in 1..=turns.rounds {
            for server in running {
                let name = server.server().name;
                note(&format!("{name}: {RATE} requests/s, round {round}"));
                let schedule = Schedule {
                    request: &request,
                    interval: Duration::from_secs(1) / RATE,
                    count: RATE * turns.seconds,
                };
                let p99 = p99(server.server(), PACED_CONNECTIONS, schedule)?;
                row.add(name, milliseconds(p99));
            }
        }
        Ok(row)
    }

    fn starts(&self, servers: &[Server]) -> Result<Row> {
        note(&format!("{STARTS} starts"));
        let mut row = Row::new("process start to first answer, ms", Goal::AtMost(10.0));
        for _ in 0..STARTS {
            for server in servers {
                let mut running = server.start(&self.cores)?;
                let time = running.ready(server.address(), &readiness_request())?;
                row.add(server.name, milliseconds(time));
            }
        }
        Ok(row)
    }

    fn first_tokens(&self, servers: &[Server]) -> Result<Row> {
        note(&format!("{FIRST_TOKENS} first tokens"));
        let mut row = Row::new("first token, Entra 50 ms away, ms", Goal::AtMost(55.0));
        self.distance.set(ROUND_TRIP);
        for _ in 0..FIRST_TOKENS {
            for server in servers {
                let running = self.start(server)?;
                let asked = Instant::now();
                running.answer(&token_request(""))?;
                row.add(server.name, milliseconds(asked.elapsed()));
            }
        }
        Ok(row)
    }

    fn first_calls(&self, servers: &[Server]) -> Result<Row> {
        note(&format!("{FIRST_CALLS} first calls at once"));
        let mut row = Row::new(
            format!("exchanges for {FIRST_CALLS} first calls at once"),
            Goal::AtMost(1.0),
        );
        // Each call has a connection of its own, and leaves it to the next one that waits.
        let request = token_request("Connection: close\r\n");
        for server in servers {
            self.distance.set(Duration::ZERO);
            let _running = self.start(server)?;
            self.distance.set(LONG_ROUND_TRIP);
            let before = self.entra.exchanges();
            let schedule = Schedule {
                request: &request,
                interval: Duration::ZERO,
                count: FIRST_CALLS,
            };
            p99(server, FIRST_CALLS, schedule)?;
            row.add(server.name, (self.entra.exchanges() - before) as f64);
        }
        self.distance.set(Duration::ZERO);
        Ok(row)
    }
}

fn load(server: &Running<'_>, connections: u32, seconds: u32) -> Result<(wrk::Count, Duration)> {
    let url = format!("http://{}{TARGET}", server.server().address());
    let before = server.cpu_time()?;
    let count = wrk::load(&url, connections, seconds, &["--header", METADATA])?;
    Ok((count, server.cpu_time()? - before))
}

fn p99(server: &Server, connections: u32, schedule: Schedule<'_>) -> Result<Duration> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = server.connect()?;
        stream.set_nonblocking(true)?;
        streams.push(stream);
    }
    let latencies = paced::latencies(streams, schedule)
        .with_context(|| format!("{} fails at a constant rate", server.name))?;
    paced::p99(latencies).context("no request was sent")
}

fn token_request(headers: &str) -> Vec<u8> {
    client::get(TARGET, &format!("{METADATA}\r\n{headers}"))
}

fn readiness_request() -> Vec<u8> {
    client::get("/readyz", "")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn note(text: &str) {
    eprintln!("  {text}");
}
