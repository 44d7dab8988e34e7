//! A pod's network and names, for one test alone. No traffic leaves it, and it ends with the test.
//!
//! Needs root, and the Debian packages iproute2 and nftables.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use tokio::runtime;

/// The interfaces and routes of a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// A default route to a router that does not exist.
    V4,
    /// `lo` alone, as a pod with IPv6 alone has for IPv4.
    Loopback,
}

/// Runs `test` and the programs that it starts in a network of its own.
pub(crate) fn in_network(network: Network, test: impl AsyncFnOnce() + Send) {
    // On its own thread, because a thread cannot return to another network.
    thread::scope(|scope| {
        let ended = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .expect("a network namespace: run the tests as root");
            run("mount --make-rprivate /", "");
            run("ip link set lo up", "");
            if network == Network::V4 {
                run("ip link add eth0 type veth peer name node0", "");
                run("ip address add 192.0.2.2/24 dev eth0", "");
                run("ip link set eth0 up", "");
                run("ip link set node0 up", "");
                run("ip route add default via 192.0.2.1", "");
            }
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(test());
        });
        if let Err(panic) = ended.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Resolves `name` to these addresses, and no other name, in this test's network alone.
pub(crate) fn resolve(name: &str, addresses: &[&str]) {
    let file = std::env::temp_dir().join(format!("hosts-{}", uuid::Uuid::new_v4()));
    let lines = addresses
        .iter()
        .map(|address| format!("{address} {name}\n"));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    run(&format!("mount --bind {} /etc/hosts", file.display()), "");
    // The mount keeps the content.
    std::fs::remove_file(file).unwrap();
}

/// Runs a program of the network's administrator with `input`.
pub(crate) fn run(line: &str, input: &str) {
    let mut words = line.split(' ');
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}: are iproute2 and nftables installed?"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{line}");
}
