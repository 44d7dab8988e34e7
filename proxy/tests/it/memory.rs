//! The memory that connections leave behind, and that other users cannot read it.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;
use testkit::poll;
use testkit::process::{anonymous_kib, open_files};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::entra::Entra;
use crate::process::{Program, open_binary, program};
use crate::raw::read_one;

const REQUEST: &str = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                       Metadata: true\r\n\r\n";
pub(crate) const MIB: u64 = 1024 * 1024;
const UNPRIVILEGED_USER: u32 = 1501;

#[tokio::test]
async fn ten_thousand_connections_leave_nothing_behind() {
    let entra = Entra::start("localhost").await;
    let program = Program::start(&entra, &[], &[]).await;
    assert_eq!(program.token("a").await.status, 200);
    let (before, files) = (resident(program.id()), open_files(program.id()));
    assert!(files.is_some());
    // As many at a time as the kernel's limit on open files allows.
    let most = raise_open_files();
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
        let open = async || open_files(program.id());
        poll::until("the connections' end", open, |open| *open <= files).await;
        assert_eq!(program.token("a").await.status, 200);
        after.push(resident(program.id()));
    }
    // The allocator keeps some memory of the 1,200 connections that may be open at a time. Ten thousand with
    // buffers would be 160 MiB, and a leak would grow with each round.
    assert!(
        after[0] < before + 8 * MIB && after[1] < after[0] + MIB,
        "from {before} to {after:?} bytes"
    );
    assert_eq!(entra.requests().len(), 1);
}

#[tokio::test]
async fn law_8_other_users_cannot_read_the_process() {
    // The files of a process in /proc belong to root when the process must not be dumped (proc(5)), and
    // otherwise to its user, so the program runs as another user. It is started by its open file, since
    // that user may not enter its directory.
    let binary = open_binary();
    let mut command = program(&binary.path());
    unprivileged(&mut command);
    let user = if geteuid().is_root() {
        UNPRIVILEGED_USER
    } else {
        geteuid().as_raw()
    };
    let entra = Entra::start("localhost").await;
    let program = Program::start_as(command, &entra, &[], &[]).await;
    let shown = format!("/proc/{}/maps", program.id());
    let owner = std::fs::metadata(shown).unwrap().uid();
    assert_ne!(owner, user);
}

/// Raises this process's limit on open files as far as the kernel allows, and returns it.
pub(crate) fn raise_open_files() -> u64 {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    most
}

/// Lets a command of root run as a user without rights.
pub(crate) fn unprivileged(command: &mut Command) -> &mut Command {
    if geteuid().is_root() {
        command.uid(UNPRIVILEGED_USER);
    }
    command
}

/// Opens 10,000 connections, a tenth of them with a request, at most `at_a_time` at once, and returns
/// those that are open.
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

/// Resident memory that no file backs, in bytes.
fn resident(process: u32) -> u64 {
    anonymous_kib(process).unwrap() * 1024
}
