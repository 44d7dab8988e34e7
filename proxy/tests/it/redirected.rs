//! The relay behind proxy-init's redirect, each test in a network of its own.

use std::net::{Ipv4Addr, SocketAddrV4};

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::entra::Entra;
use crate::imds::Imds;
use crate::network::{Network, in_network};
use crate::process::{Program, free_port, program};
use crate::raw::{Answer, exchange};

const IMDS: SocketAddrV4 = SocketAddrV4::new(contract::metadata::ADDRESS, contract::metadata::PORT);

const TOKEN: &str = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                     Metadata: true\r\n";

const INSTANCE: &str = "GET /metadata/instance HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n";

/// Writes the redirect, and starts the program as user `uid` at its port.
async fn behind_the_redirect(entra: &Entra, uid: u32, more: &[&str]) -> Program {
    let port = free_port().await;
    let config = proxy_init::config::Config {
        metadata: IMDS,
        proxy_port: port,
        proxy_uid: contract::container::PROXY_UID,
        relays: true,
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
    Program::start_at(port, command, entra, &flags, &[]).await
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
