//! A network of a test's own, as a pod has one, with names of its own. No traffic leaves it, and it
//! ends with the test. Needs root, and the Debian packages iproute2 and nftables.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use tokio::runtime;

/// What a pod reaches others by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// A default route, behind which nobody is.
    V4,
    /// Nothing but `lo`: what a pod with IPv6 alone knows of IPv4.
    Loopback,
}

/// Runs `test` in a network of its own. Programs that it starts are in there too.
pub(crate) fn in_network(network: Network, test: impl AsyncFnOnce() + Send) {
    // A thread cannot go back to another network.
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

/// Gives `name` these addresses, and no other name any, in this test's network alone.
pub(crate) fn resolve(name: &str, addresses: &[&str]) {
    let file = std::env::temp_dir().join(format!("hosts-{}", uuid::Uuid::new_v4()));
    let lines = addresses
        .iter()
        .map(|address| format!("{address} {name}\n"));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    run(&format!("mount --bind {} /etc/hosts", file.display()), "");
    // The mount keeps what is in it.
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
