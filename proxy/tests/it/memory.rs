//! What the program keeps in memory, and that nobody can look into it.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::entra::Entra;
use crate::process::{Program, open_binary, program};
use crate::raw::read_one;
use crate::sidecar::DEADLINE;

const REQUEST: &str = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                       Metadata: true\r\n\r\n";
pub(crate) const MIB: u64 = 1024 * 1024;
const SOMEBODY: u32 = 1501;

#[tokio::test]
async fn ten_thousand_connections_leave_nothing_behind() {
    let entra = Entra::start("localhost").await;
    let program = Program::start(&entra, &[], &[]).await;
    assert_eq!(program.token("a").await.status, 200);
    let (before, files) = (resident(program.id()), open_files(program.id()));
    // As many at a time as the kernel lets a process have.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let at_a_time = usize::try_from(most / 2).unwrap().min(10_000);
    let mut after = Vec::new();
    for _ in 0..2 {
        let idle = ten_thousand(&program, at_a_time).await;
        assert_eq!(
            program.token("a").await.status,
            200,
            "with all of them open"
        );
        drop(idle);
        let deadline = Instant::now() + DEADLINE;
        while open_files(program.id()) > files {
            assert!(Instant::now() < deadline, "connections stay open");
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(program.token("a").await.status, 200);
        after.push(resident(program.id()));
    }
    // The allocator keeps some of what the speaking ones needed at one time. Ten thousand with buffers
    // would be 160 MiB, and a leak would grow with each round.
    assert!(
        after[0] < before + 4 * MIB && after[1] < after[0] + MIB,
        "from {before} to {after:?} bytes"
    );
    assert_eq!(entra.asked().len(), 1);
}

#[tokio::test]
async fn law_8_other_users_cannot_read_the_process() {
    // The kernel gives what it shows of a process to root as soon as it must not be dumped. To tell
    // that from a process of root, the program runs as somebody else; it is started by its open file,
    // since its directory may be closed to others.
    let binary = open_binary();
    let mut command = program(&binary.path());
    somebody(&mut command);
    let user = if geteuid().is_root() {
        SOMEBODY
    } else {
        geteuid().as_raw()
    };
    let entra = Entra::start("localhost").await;
    let program = Program::start_as(command, &entra, &[], &[]).await;
    let shown = format!("/proc/{}/maps", program.id());
    let owner = std::fs::metadata(shown).unwrap().uid();
    assert_ne!(owner, user);
}

/// Lets a command run as nobody in particular, and not as root.
pub(crate) fn somebody(command: &mut Command) -> &mut Command {
    if geteuid().is_root() {
        command.uid(SOMEBODY);
    }
    command
}

/// Opens so many connections, a tenth of them with a request, and returns those still held.
async fn ten_thousand(program: &Program, at_a_time: usize) -> VecDeque<TcpStream> {
    let mut idle = VecDeque::new();
    for nth in 0..10_000 {
        if idle.len() == at_a_time {
            idle.pop_front();
        }
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        if nth % 10 == 0 {
            stream.write_all(REQUEST.as_bytes()).await.unwrap();
            assert_eq!(read_one(&mut stream).await.status, 200);
        }
        idle.push_back(stream);
    }
    idle
}

/// Resident memory of a process that is not a file's, in bytes.
fn resident(process: u32) -> u64 {
    memory(process, "RssAnon:")
}

/// The most memory that was ever resident, in bytes.
pub(crate) fn peak(process: u32) -> u64 {
    memory(process, "VmHWM:")
}

fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .count()
}
