//! The relay behind proxy-init's redirect, each test in its own network namespace.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::{Arc, mpsc};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::gettid;
use proxy_init::config::Exemption;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::entra::Entra;
use crate::imds::Imds;
use crate::network::{Network, in_network, run};
use crate::process::{Program, QUIT, free_port, program};
use crate::raw::{Answer, exchange};

const IMDS: SocketAddrV4 = SocketAddrV4::new(contract::metadata::ADDRESS, contract::metadata::PORT);

const TOKEN: &str = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                     Metadata: true\r\n";

const INSTANCE: &str = "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n";

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

/// Writes the redirect without a key, and starts the program as user `uid` at its port.
async fn behind_the_redirect(entra: &Entra, uid: u32, more: &[&str]) -> Program {
    behind_a_redirect_with(Exemption::User, entra, uid, more, &[]).await
}

async fn behind_a_redirect_with(
    exemption: Exemption,
    entra: &Entra,
    uid: u32,
    more: &[&str],
    variables: &[(&str, &str)],
) -> Program {
    let port = free_port().await;
    let config = proxy_init::config::Config {
        metadata: IMDS,
        proxy_port: port,
        proxy_uid: contract::container::PROXY_UID,
        exemption,
    };
    proxy_init::redirect(&config).unwrap();
    let binary = crate::process::open_binary();
    let mut command: Command = program(&binary.path());
    command.uid(uid);
    let usual = [
        "--metadata-ip=169.254.169.254",
        "--metadata-port=80",
        "--loopback=",
    ];
    let flags = [&usual[..], more].concat();
    Program::start_at(port, command, entra, &flags, variables).await
}

/// Starts the node's IMDS, which answers `node`, in the network behind `node0`.
fn start_node() -> Node {
    let (tell_ready, ready) = mpsc::channel();
    let (tell_linked, linked) = mpsc::channel();
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell_ready.send(gettid()).unwrap();
        linked.recv().unwrap();
        for line in [
            "ip link set lo up",
            "ip address add 169.254.169.254/32 dev lo",
            "ip address add 192.0.2.1/24 dev node0",
            "ip link set node0 up",
        ] {
            run(line, "");
        }
        let listener = Arc::new(std::net::TcpListener::bind(IMDS).unwrap());
        tell_ready.send(gettid()).unwrap();
        let accepting = Arc::clone(&listener);
        thread::spawn(move || {
            while let Ok((mut client, _)) = accepting.accept() {
                let mut head = [0; 4096];
                let _ = client.read(&mut head);
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnode");
            }
        });
        // Holds the network until the test ends.
        let _ = linked.recv();
        shutdown(listener.as_raw_fd(), Shutdown::Both).unwrap();
    });
    let node = ready.recv().unwrap();
    run(&format!("ip link set node0 netns {node}"), "");
    tell_linked.send(()).unwrap();
    ready.recv().unwrap();
    Node(Some((tell_linked, thread)))
}

struct Node(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

async fn ask(head: &str) -> Answer {
    exchange(IMDS.into(), head).await
}

/// A pod that runs the proxy as a user who is not exempt: `runAsUser: 1000`, and containers that are
/// written by hand.
#[test]
fn refuses_a_relayed_request_that_comes_back() {
    in_network(Network::V4, async || {
        let entra = Entra::start("localhost").await;
        let metrics_port = free_port().await;
        let flag = format!("--metrics-port={metrics_port}");
        let program = behind_the_redirect(&entra, 1000, &[&flag]).await;
        for _ in 0..3 {
            let answer = ask(INSTANCE).await;
            assert_eq!(
                (answer.status, &*answer.text("error")),
                (503, "service_unavailable")
            );
            let description = answer.text("error_description");
            for part in ["runs as user 1000", "runAsUser: 1501", "AZWI_RELAY=deny"] {
                assert!(description.contains(part), "{part}: {description}");
            }
        }
        // The proxy counts each twice: when it relays it, and when it comes back.
        let metrics = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
        let metrics = exchange((Ipv4Addr::LOCALHOST, metrics_port).into(), metrics).await;
        let relayed = "azwi_proxy_requests_total{outcome=\"relayed\"} 6";
        assert!(metrics.body.contains(relayed), "{}", metrics.body);
        assert_eq!(ask(TOKEN).await.status, 200);
        program.logged("came back to it").await;
        let log = program.ended().await;
        assert_eq!(log.matches("came back to it").count(), 1, "{log}");
    });
}

#[test]
fn relays_past_a_redirect_that_has_its_key() {
    in_network(Network::V4, async || {
        let _node = start_node();
        let entra = Entra::start("localhost").await;
        let exemption = Exemption::Announced(KEY.parse().unwrap());
        let uid = contract::container::PROXY_UID;
        let variables = [("AZWI_RELAY_KEY", KEY)];
        let program = behind_a_redirect_with(exemption, &entra, uid, &[], &variables).await;
        for _ in 0..20 {
            let answer = ask(INSTANCE).await;
            assert_eq!((answer.status, &*answer.body), (200, "node"));
        }
        let log = program.ended().await;
        assert!(!log.contains(KEY), "{log}");
    });
}

/// Containers that are written by hand with two keys.
#[test]
fn names_the_key_if_the_redirect_has_another() {
    in_network(Network::V4, async || {
        let _node = start_node();
        let entra = Entra::start("localhost").await;
        let exemption = Exemption::Announced(KEY.parse().unwrap());
        let uid = contract::container::PROXY_UID;
        let other = KEY.replace('0', "1");
        for variables in [&[("AZWI_RELAY_KEY", &*other)][..], &[]] {
            let _program = behind_a_redirect_with(exemption, &entra, uid, &[], variables).await;
            let answer = ask(INSTANCE).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            let description = answer.text("error_description");
            assert!(
                description.contains("the same AZWI_RELAY_KEY for both"),
                "{description}"
            );
        }
    });
}

/// `kubectl port-forward` connects to the port from 127.0.0.1 in the pod's network. The redirect keeps the
/// client's address: the pod's or, where the address of IMDS is on `lo`, that one.
#[test]
fn answers_redirected_requests_and_none_to_the_loopback_address() {
    for network in [Network::V4, Network::Loopback] {
        in_network(network, async || {
            let entra = Entra::start("localhost").await;
            let program = behind_the_redirect(&entra, contract::container::PROXY_UID, &[]).await;
            assert_eq!(ask(TOKEN).await.status, 200);
            for head in [TOKEN, INSTANCE] {
                let answer = exchange(program.address, head).await;
                assert_eq!(answer.status, 400, "{answer:?}");
                let description = answer.text("error_description");
                assert!(description.contains("AZWI_LOOPBACK=on"), "{description}");
            }
            let ready = "GET /readyz HTTP/1.1\r\nHost: x\r\n";
            assert_eq!(exchange(program.address, ready).await.status, 200);
            drop(program);
            let on = ["--loopback=on"];
            let program = behind_the_redirect(&entra, contract::container::PROXY_UID, &on).await;
            assert_eq!(exchange(program.address, TOKEN).await.status, 200);
        });
    }
}

/// So that the right to forward ports cannot end a proxy.
#[test]
fn a_redirected_request_ends_the_proxy_and_one_to_the_loopback_address_does_not() {
    in_network(Network::V4, async || {
        let entra = Entra::start("localhost").await;
        let uid = contract::container::PROXY_UID;
        let program = behind_the_redirect(&entra, uid, &["--quit=on"]).await;
        let answer = exchange(program.address, QUIT).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let description = answer.text("error_description");
        assert!(description.contains("AZWI_LOOPBACK=on"), "{description}");
        assert_eq!(ask(QUIT).await.status, 200);
        assert_eq!(program.crashed().await.code(), Some(0));
    });
}

/// In a pod with IPv6 alone the address of IMDS is on `lo`, so the user that the redirect exempts
/// reaches the pod's own port 80.
#[test]
fn does_not_relay_to_the_pods_own_address() {
    in_network(Network::Loopback, async || {
        let entra = Entra::start("localhost").await;
        let uid = contract::container::PROXY_UID;
        let _program = behind_the_redirect(&entra, uid, &[]).await;
        let web_server = TcpListener::bind("0.0.0.0:80").await.unwrap();
        let web_server = Imds::on(web_server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        let answer = ask(INSTANCE).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let description = answer.text("error_description");
        assert!(description.contains("is this pod's own"), "{description}");
        // The proxy may connect, but must not send.
        assert_eq!(web_server.seen().concat(), "");
    });
}
