//! Measures the proxy.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use contract::variable;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use testkit::certificate::client_config;

use crate::arguments::{self, Turns};
use crate::client::{self, Answer};
use crate::cores::Cores;
use crate::distance::Distance;
use crate::entra::{self, Entra};
use crate::paced::{self, Schedule};
use crate::process::{self, Running, Scratch, Server};
use crate::table::{self, BARE, Goal, Row};
use crate::turns::{self, IDLE, Load, milliseconds, note};

const PROXY: &str = "proxy";
const UPSTREAM: &str = "upstream";

/// A token request as SDKs write it.
const TARGET: &str = "/metadata/identity/oauth2/token\
    ?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";
const METADATA: &str = "Metadata: true";

/// The port that the proxy expects Entra on.
const HTTPS: u16 = 443;

/// The number of measured starts, and of measured first tokens.
const STARTS: u32 = 20;
const FIRST_TOKENS: u32 = 10;

/// The numbers of wrk's connections, and the one that is measured after the memory, which it raises.
const CONNECTIONS: [u32; 2] = [16, 64];
const MANY_CONNECTIONS: u32 = 256;
/// The number of requests over 64 connections before the memory is read again.
const MILLION: u64 = 1_000_000;

/// The number of connections over which the latency is measured.
const PACED_CONNECTIONS: u32 = 16;

/// How long an application starts before it asks for its first token. Servers connect to Entra meanwhile.
const APPLICATION_START: Duration = Duration::from_millis(500);

/// The round trip to Entra for the first token, and for the first calls: the latter is long enough for
/// all of them to arrive before the first token does.
const ROUND_TRIP: Duration = Duration::from_millis(50);
const LONG_ROUND_TRIP: Duration = Duration::from_secs(1);
const FIRST_CALLS: u32 = 1_000;

/// Measures everything and prints the table.
///
/// # Errors
///
/// When a server fails, or this machine lacks a prerequisite.
pub fn run(arguments: &arguments::Proxy) -> Result<()> {
    let cores = Cores::split()?;
    let scratch = Scratch::new()?;
    let entra = Entra::start()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, HTTPS)).context(
        "cannot listen on Entra's port 443 (tests/bench/run makes a network namespace for it)",
    )?;
    let distance = Distance::between(listener, entra.address())?;
    let bench = Bench {
        cores,
        distance,
        entra,
        scratch,
    };

    let proxy = bench.proxy(arguments)?;
    let bare = bench.bare(&proxy)?;
    let mut servers = vec![proxy, bare];
    if let Some(command) = &arguments.turns.upstream {
        servers.push(bench.upstream(command)?);
    }
    let mut rows = bench.under_load(&servers, &arguments.turns)?;
    rows.push(bench.starts(&servers)?);
    servers.retain(|server| server.name != BARE);
    rows.push(bench.first_tokens(&servers)?);
    rows.push(bench.first_calls(&servers)?);

    let mut names = vec![PROXY, BARE];
    names.extend(arguments.turns.upstream.as_ref().map(|_| UPSTREAM));
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
    /// Our proxy, with the environment that the webhook injects.
    fn proxy(&self, arguments: &arguments::Proxy) -> Result<Server> {
        let program = arguments
            .proxy
            .to_str()
            .context("the proxy's path is not UTF-8")?;
        let mut server = self.server(PROXY, 8000)?;
        server.command = vec![program.to_owned(), "--proxy-port={port}".to_owned()];
        let ca = self.entra.ca().to_owned();
        let more = [
            (variable::CA_DATA, ca),
            (variable::LOOPBACK, "on".to_owned()),
        ];
        server.environment.extend(more);
        Ok(server)
    }

    /// Another proxy. It gets the CA by the variable of OpenSSL and Go.
    fn upstream(&self, command: &str) -> Result<Server> {
        let mut server = self.server(UPSTREAM, 8002)?;
        server.command = Server::shell(command);
        let ca = self.scratch.write("ca.pem", self.entra.ca())?;
        server.environment.insert("SSL_CERT_FILE", ca);
        Ok(server)
    }

    fn server(&self, name: &'static str, port: u16) -> Result<Server> {
        // The emulator's rule does not verify it.
        let token = self
            .scratch
            .write("service-account-token", "e30.e30.c2ln")?;
        let environment = [
            (
                variable::CLIENT_ID,
                "66666666-7777-8888-9999-000000000000".to_owned(),
            ),
            (variable::TENANT_ID, entra::TENANT.to_owned()),
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
            health_port: port,
            log: self.scratch.file(&format!("{name}.log")),
        })
    }

    /// The bare server with the proxy's own answer.
    fn bare(&self, proxy: &Server) -> Result<Server> {
        let answer = self
            .start(proxy)?
            .answer(|| proxy.ask(&token_request("")))?
            .bytes;
        let file = self.scratch.write("answer", &answer)?;
        let mut server = self.server(BARE, 8001)?;
        server.command = Server::bare(&file)?;
        let same = self
            .start(&server)?
            .answer(|| server.ask(&token_request("")))?
            .bytes;
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
        running.ready(|| is_ready(server))?;
        Ok(running)
    }

    fn under_load(&self, servers: &[Server], turns: &Turns) -> Result<Vec<Row>> {
        let running: Vec<_> = servers
            .iter()
            .map(|server| self.start(server))
            .collect::<Result<_>>()?;
        let running: Vec<_> = running.iter().collect();
        thread::sleep(IDLE);
        let mut idle = Row::new("resident memory, idle, MiB", Goal::AtMost(4.5));
        for server in &running {
            idle.add(server.server().name, server.resident_memory()?);
        }
        let load = |connections: u32| Load {
            what: format!("cached token, {connections} connections"),
            goal: Goal::ShareOfBare(0.95),
            connections,
            scheme: "http",
            target: TARGET,
            more: vec!["--header".to_owned(), METADATA.to_owned()],
        };
        let mut rows = vec![];
        for connections in CONNECTIONS {
            rows.extend(load(connections).rounds(&running, turns)?);
        }
        let request = token_request("");
        rows.push(turns::latency(
            "cached token".to_owned(),
            Goal::TimesBare(1.25),
            &running,
            turns,
            &request,
            |server| streams(server, PACED_CONNECTIONS).collect(),
        )?);
        let mut after = Row::new(
            "resident memory after a million requests over 64 connections, MiB",
            Goal::AtMost(6.0),
        );
        for server in &running {
            let name = server.server().name;
            note(&format!("a million requests: {name}"));
            let mut requests = 0;
            while requests < MILLION {
                requests += load(64).once(server, turns.seconds)?.0.requests;
            }
            after.add(name, server.resident_memory()?);
        }
        rows.extend([idle, after]);
        rows.extend(load(MANY_CONNECTIONS).rounds(&running, turns)?);
        Ok(rows)
    }

    fn starts(&self, servers: &[Server]) -> Result<Row> {
        note(&format!("{STARTS} starts"));
        let mut row = Row::new("process start to first answer, ms", Goal::AtMost(10.0));
        for _ in 0..STARTS {
            for server in servers {
                let mut running = server.start(&self.cores)?;
                let time = running.ready(|| is_ready(server))?;
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
            row.add(BARE, self.round_trip()?);
            for server in servers {
                let running = self.start(server)?;
                thread::sleep(APPLICATION_START);
                let asked = Instant::now();
                running.answer(|| server.ask(&token_request("")))?;
                row.add(server.name, milliseconds(asked.elapsed()));
            }
        }
        Ok(row)
    }

    /// One round trip to the token endpoint over an open connection, in ms.
    fn round_trip(&self) -> Result<f64> {
        let tls = client_config(self.entra.ca().as_bytes())?;
        let session = ClientConnection::new(tls, ServerName::try_from(entra::NAME)?)?;
        let socket = process::connect((Ipv4Addr::LOCALHOST, HTTPS).into())?;
        let mut stream = StreamOwned::new(session, socket);
        let request = client::post(entra::TOKEN_PATH, b"");
        client::ask(&mut stream, &request)?;
        let asked = Instant::now();
        client::ask(&mut stream, &request)?;
        Ok(milliseconds(asked.elapsed()))
    }

    fn first_calls(&self, servers: &[Server]) -> Result<Row> {
        note(&format!("{FIRST_CALLS} first calls at once"));
        let mut row = Row::new(
            format!("exchanges for {FIRST_CALLS} first calls at once"),
            Goal::AtMost(1.0),
        );
        // Each call has its own connection and closes it, so that a waiting one gets served.
        let request = token_request("Connection: close\r\n");
        for server in servers {
            self.distance.set(Duration::ZERO);
            let _running = self.start(server)?;
            self.distance.set(LONG_ROUND_TRIP);
            let before = self.entra.exchanges()?;
            let schedule = Schedule {
                request: &request,
                interval: Duration::ZERO,
                count: FIRST_CALLS,
            };
            let answered = paced::latencies(streams(server, FIRST_CALLS), schedule)
                .with_context(|| format!("{} fails at the first calls", server.name));
            match answered {
                Ok(_) => row.add(server.name, (self.entra.exchanges()? - before) as f64),
                // The table shows a dash for a server that is only compared.
                Err(error) if server.name == UPSTREAM => note(&format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        self.distance.set(Duration::ZERO);
        Ok(row)
    }
}

/// Connections that do not block, opened one by one as they are taken.
fn streams(server: &Server, count: u32) -> impl Iterator<Item = Result<TcpStream>> {
    (0..count).map(|_| {
        let stream = process::connect(server.address())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    })
}

fn token_request(headers: &str) -> Vec<u8> {
    client::get(TARGET, &format!("{METADATA}\r\n{headers}"))
}

fn is_ready(server: &Server) -> io::Result<Answer> {
    server.ask(&client::get("/readyz", ""))
}
