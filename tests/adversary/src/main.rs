//! Attacks the real webhook and proxy: `adversary [SECONDS] [--seed NUMBER]`.

use std::process::ExitCode;
use std::thread;

use adversary::arguments::Arguments;
use adversary::attack::Attack;
use adversary::honest::Client;
use adversary::world::{LIMIT, World};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::from(64);
        }
    };
    println!("seed {}", arguments.seed);
    let failed = attack(&arguments).await.err();
    if let Some(reason) = &failed {
        eprintln!(
            "{reason}\nthe same again: tests/adversary/run {} --seed {}",
            arguments.time.as_secs(),
            arguments.seed
        );
    }
    ExitCode::from(u8::from(failed.is_some()))
}

/// Attacks every socket, and watches programs and ordinary clients meanwhile. Ends with the first rule that
/// is broken.
async fn attack(arguments: &Arguments) -> Result<(), String> {
    let World {
        programs,
        targets,
        clients,
        azure,
    } = World::start(arguments).await;
    let deadline = Instant::now() + arguments.time;
    let mut running = JoinSet::new();
    let mut attacks = Vec::new();
    for target in targets {
        let connections = if target.name == "proxy" || target.name == "webhook" {
            CONNECTIONS
        } else {
            FEW
        };
        let attack = Attack::new(target, arguments.seed, &arguments.output.join("failures"));
        for _ in 0..connections {
            let attack = attack.clone();
            running.spawn(async move { attack.run(deadline).await.map(|()| None) });
        }
        attacks.push(attack);
    }
    for client in clients {
        running.spawn(watched(client, deadline));
    }
    // They outlast the attack: a program that ends must be seen even if the last connection ended it.
    let mut watching = JoinSet::new();
    for program in programs {
        watching.spawn(program.watch(deadline + AFTER, LIMIT));
    }
    loop {
        tokio::select! {
            Some(ended) = running.join_next() => {
                if let Some(line) = ended.map_err(|error| error.to_string())?? {
                    println!("{line}");
                }
            }
            Some(watched) = watching.join_next() => {
                let (program, peak) = watched.map_err(|error| error.to_string())??;
                println!("{}: {} KiB of memory at most, of {LIMIT}", program.name(), peak);
            }
            else => break,
        }
    }
    for attack in attacks {
        println!("{}", attack.summary());
    }
    drop(azure);
    Ok(())
}

/// Runs an ordinary client on a thread of its own. On those of the attackers it would wait for its turn after it has
/// connected, and a program under attack closes a connection that sends nothing.
async fn watched(client: Client, deadline: Instant) -> Result<Option<String>, String> {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let run = match runtime {
            Ok(runtime) => runtime.block_on(client.run(deadline)),
            Err(error) => Err(format!("an ordinary client cannot start: {error}")),
        };
        let _ = ended.send(run);
    });
    let run = end.await;
    let (name, longest) = run.map_err(|_| "an ordinary client panicked")??;
    Ok(Some(format!(
        "{name}: always right, after {} ms at most",
        longest.as_millis()
    )))
}

/// How many connections attack each program at a time.
const CONNECTIONS: usize = 64;

/// How many attack each of its smaller ports.
const FEW: usize = 4;

/// How long programs are watched after the attack.
const AFTER: std::time::Duration = std::time::Duration::from_secs(5);
