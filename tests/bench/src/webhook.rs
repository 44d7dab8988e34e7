//! Measures the webhook.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use testkit::certificate::{Authority, client_config};

use crate::accounts::Cluster;
use crate::arguments::{self, Turns};
use crate::client::{self, Answer};
use crate::cores::Cores;
use crate::process::{self, Running, Scratch, Server};
use crate::review;
use crate::table::{self, BARE, Goal, Row};
use crate::turns::{self, IDLE, Load, milliseconds, note};

const WEBHOOK: &str = "webhook";
const UPSTREAM: &str = "upstream";

/// The path in the webhook configuration, and the server name that the API server expects.
const TARGET: &str = "/mutate-v1-pod";
const NAME: &str = "azure-wi-webhook-webhook-service.azure-workload-identity-system.svc";

/// The lengths of reviews in bytes, and the one that the goals are for.
const LENGTHS: [usize; 4] = [2_000, TYPICAL, 20_000, 200_000];
const TYPICAL: usize = 4_000;

/// The number of wrk's connections, and the larger numbers for the typical review.
const CONNECTIONS: u32 = 8;
const MORE_CONNECTIONS: [u32; 2] = [32, 128];

/// Measures everything and prints the table.
///
/// # Errors
///
/// When a server fails, or there is no cluster.
pub fn run(arguments: &arguments::Webhook) -> Result<()> {
    let mut lengths = LENGTHS.to_vec();
    lengths.retain(|length| arguments.length.is_none_or(|only| only == *length));
    ensure!(!lengths.is_empty(), "--length is none of {LENGTHS:?}");
    let cores = Cores::split()?;
    let scratch = Scratch::new()?;
    let cluster = Cluster::connect()?;
    cluster.add_the_reviewed()?;
    let authority = Authority::new("Benchmark CA")?;
    let server = authority.server("benchmark", &[NAME])?;
    scratch.write("tls.crt", &server.certificate)?;
    scratch.write("tls.key", &server.key)?;
    let script = scratch.write("review.lua", include_str!("review.lua"))?;

    let mut servers = vec![webhook(&scratch, &arguments.webhook)?];
    if let Some(command) = &arguments.turns.upstream {
        servers.push(upstream(&scratch, command)?);
    }
    // A webhook that is ready has written the caBundle.
    let trust = || {
        let trusted = [authority.certificate().as_bytes(), &cluster.trusted()?].concat();
        Ok(client_config(&trusted)?)
    };
    cores.clear()?;
    let mut rows = {
        let running: Vec<_> = servers
            .iter()
            .map(|server| start(server, &cores))
            .collect::<Result<_>>()?;
        let tls = trust()?;
        let bench = UnderLoad {
            cores,
            running,
            scratch: &scratch,
            script,
            tls,
        };
        bench.measure(&lengths, &arguments.turns)?
    };
    note(&format!("{} service accounts are made", arguments.accounts));
    cluster.add(arguments.accounts)?;
    cores.clear()?;
    rows.extend(with_accounts(&servers, &cores, trust, arguments)?);

    let mut names = vec![WEBHOOK, BARE];
    names.extend(arguments.turns.upstream.as_ref().map(|_| UPSTREAM));
    println!("`tests/bench/run webhook`, {}:\n", table::machine());
    println!("{}", table::render(&names, &rows));
    Ok(())
}

/// Our webhook, started as the chart starts it but on other ports: upstream's ports cannot be changed.
fn webhook(scratch: &Scratch, program: &Path) -> Result<Server> {
    let program = program
        .to_str()
        .context("the webhook's path is not UTF-8")?;
    let mut server = server(scratch, WEBHOOK, 9543, 9540)?;
    server.command = [
        program,
        "--port={port}",
        "--health-addr=:{health-port}",
        "--metrics-addr=:8195",
    ]
    .map(str::to_owned)
    .to_vec();
    Ok(server)
}

fn upstream(scratch: &Scratch, command: &str) -> Result<Server> {
    let mut server = server(scratch, UPSTREAM, 9443, 9440)?;
    let certificates = scratch.directory()?;
    server.command = Server::shell(&command.replace("{certificates}", certificates));
    Ok(server)
}

fn server(scratch: &Scratch, name: &'static str, port: u16, health_port: u16) -> Result<Server> {
    let kubeconfig = std::env::var("KUBECONFIG").context("KUBECONFIG names no cluster")?;
    let environment = [
        ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
        ("KUBECONFIG", &kubeconfig),
        ("POD_NAMESPACE", "azure-workload-identity-system"),
        (
            "PROXY_IMAGE",
            "registry.example.com/azure-workload-identity/proxy:v0.1.0",
        ),
        (
            "PROXY_INIT_IMAGE",
            "registry.example.com/azure-workload-identity/proxy:v0.1.0",
        ),
    ];
    Ok(Server {
        name,
        command: Vec::new(),
        environment: environment
            .map(|(name, value)| (name, value.to_owned()))
            .into(),
        port,
        health_port,
        log: scratch.file(&format!("{name}.log")),
    })
}

fn start<'a>(server: &'a Server, cores: &Cores) -> Result<Running<'a>> {
    let mut running = server.start(cores)?;
    running.ready(|| is_ready(server))?;
    Ok(running)
}

fn is_ready(server: &Server) -> io::Result<Answer> {
    let mut health = process::connect(server.health_address())?;
    client::ask(&mut health, &client::get("/readyz", ""))
}

/// The measurements under load, with one service account in the cluster.
struct UnderLoad<'a> {
    cores: Cores,
    running: Vec<Running<'a>>,
    scratch: &'a Scratch,
    script: String,
    tls: Arc<ClientConfig>,
}

impl UnderLoad<'_> {
    fn measure(&self, lengths: &[usize], turns: &Turns) -> Result<Vec<Row>> {
        sleep(IDLE);
        let mut idle = Row::new("resident memory, idle, MiB", Goal::AtMost(10.0));
        let mut after = Row::new("resident memory after the load, MiB", Goal::None);
        for server in &self.running {
            idle.add(server.server().name, server.resident_memory()?);
        }
        let mut rows = Vec::new();
        for &length in lengths {
            let review = review::of_length(length);
            let request = client::post(TARGET, &review);
            let bare = self.bare(&request)?;
            let bare_runs = self.start_bare(&bare, &request)?;
            if length == TYPICAL {
                sleep(IDLE);
                idle.add(BARE, bare_runs.resident_memory()?);
            }
            let mut servers: Vec<_> = self.running.iter().collect();
            servers.insert(1, &bare_runs);

            let file = self.scratch.write("review", &review)?;
            for load in self.loads(length, file) {
                rows.extend(load.rounds(&servers, turns)?);
            }
            if length == TYPICAL {
                let what = "4 KB review".to_owned();
                let goal = Goal::TimesBare(2.0);
                let connect = |server: &Server| self.streams(server);
                rows.push(turns::latency(
                    what, goal, &servers, turns, &request, connect,
                )?);
                after.add(BARE, bare_runs.resident_memory()?);
            }
        }
        for server in &self.running {
            after.add(server.server().name, server.resident_memory()?);
        }
        rows.extend([idle, after]);
        Ok(rows)
    }

    fn loads(&self, length: usize, review: String) -> Vec<Load> {
        let kept = |connections, goal| Load {
            what: format!("{} KB review, {connections} connections", length / 1_000),
            goal,
            connections,
            scheme: "https",
            target: TARGET,
            more: ["--script", &self.script, "--", &review]
                .map(str::to_owned)
                .to_vec(),
        };
        let mut new_each = kept(CONNECTIONS, Goal::None);
        new_each.what = format!("{} KB review, a new connection each", length / 1_000);
        new_each.more.push("close".to_owned());
        let goal = match length {
            TYPICAL => Goal::ShareOfBare(0.55),
            length if length > TYPICAL => Goal::ShareOfBare(0.5),
            _ => Goal::None,
        };
        let mut loads = vec![kept(CONNECTIONS, goal)];
        if length == TYPICAL {
            loads.extend(MORE_CONNECTIONS.map(|connections| kept(connections, goal)));
        }
        loads.push(new_each);
        loads
    }

    /// The bare server with the webhook's own answer to this request.
    fn bare(&self, request: &[u8]) -> Result<Server> {
        let webhook = self.running.first().context("no webhook runs")?;
        let answer = webhook.answer(|| ask(webhook.server(), &self.tls, request))?;
        let file = self.scratch.write("answer", answer.bytes)?;
        let mut server = server(self.scratch, BARE, 9544, 0)?;
        server.command = Server::bare(&file)?;
        let certificates = self.scratch.directory()?;
        server
            .command
            .extend(["--certificates", certificates].map(str::to_owned));
        Ok(server)
    }

    fn start_bare<'a>(&self, bare: &'a Server, request: &[u8]) -> Result<Running<'a>> {
        let mut running = bare.start(&self.cores)?;
        running.ready(|| ask(bare, &self.tls, request))?;
        let same = running
            .answer(|| ask(bare, &self.tls, request))?
            .bytes
            .len();
        let webhook = self.running.first().context("no webhook runs")?;
        let answer = webhook
            .answer(|| ask(webhook.server(), &self.tls, request))?
            .bytes
            .len();
        ensure!(
            same == answer,
            "the bare server answers {same} bytes, the webhook {answer}"
        );
        Ok(running)
    }

    /// Non-blocking connections after their TLS handshakes.
    fn streams(&self, server: &Server) -> Result<Vec<Stream>> {
        (0..CONNECTIONS)
            .map(|_| {
                let mut stream = connect(server, &self.tls)?;
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                stream.sock.set_nonblocking(true)?;
                Ok(stream)
            })
            .collect()
    }
}

/// The measurements with many service accounts in the cluster.
fn with_accounts(
    servers: &[Server],
    cores: &Cores,
    trust: impl Fn() -> Result<Arc<ClientConfig>>,
    arguments: &arguments::Webhook,
) -> Result<Vec<Row>> {
    let count = arguments.accounts;
    let mut ready = Row::new(
        format!("start with {count} service accounts to ready, ms"),
        Goal::AtMost(2_000.0),
    );
    let mut first = Row::new("first review after it, ms", Goal::AtMost(5.0));
    let mut memory = Row::new("resident memory with them, MiB", Goal::AtMost(20.0));
    let mut peak = Row::new("its peak while they load, MiB", Goal::AtMost(30.0));
    let request = client::post(TARGET, &review::of_length(TYPICAL));
    for round in 1..=arguments.turns.rounds {
        for server in servers {
            let name = server.name;
            note(&format!("{count} service accounts: {name}, round {round}"));
            let mut running = server.start(cores)?;
            ready.add(name, milliseconds(running.ready(|| is_ready(server))?));
            let tls = trust()?;
            let asked = Instant::now();
            running.answer(|| ask(server, &tls, &request))?;
            first.add(name, milliseconds(asked.elapsed()));
            peak.add(name, running.peak_memory()?);
            sleep(IDLE);
            memory.add(name, running.resident_memory()?);
        }
    }
    Ok(vec![ready, first, memory, peak])
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(server: &Server, tls: &Arc<ClientConfig>) -> io::Result<Stream> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(
        session,
        process::connect(server.address())?,
    ))
}

/// Sends a request over a new connection.
fn ask(server: &Server, tls: &Arc<ClientConfig>, request: &[u8]) -> io::Result<Answer> {
    client::ask(&mut connect(server, tls)?, request)
}
