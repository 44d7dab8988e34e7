//! An Entra that is far away, or has addresses that are unreachable.

use tokio::net::TcpListener;

use crate::entra::Entra;
use crate::network::{Network, in_network, resolve, run};
use crate::sidecar::Sidecar;

const NAME: &str = "login.example";

/// `login.microsoftonline.com` has eight addresses, too.
const EIGHT: [&str; 8] = [
    "127.0.1.1",
    "127.0.1.2",
    "127.0.1.3",
    "127.0.1.4",
    "127.0.1.5",
    "127.0.1.6",
    "127.0.1.7",
    "127.0.1.8",
];

/// An Entra with the name `NAME` at all addresses of this machine.
async fn entra() -> (Entra, String) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = format!("--authority-host=https://{NAME}:{port}/");
    (Entra::on(listener, NAME), authority)
}

/// Rules that drop `packets` of new connections to Entra.
fn drop_packets(entra: &Entra, packets: &str) {
    let port = entra.address.port();
    let rules = format!(
        "table ip distance {{
            set seen {{ type inet_service; flags dynamic; size 65535; timeout 1m; }}
            chain first {{
                {packets}
            }}
            chain input {{
                type filter hook input priority 0;
                tcp dport {port} tcp flags & (syn|ack) == syn jump first;
            }}
        }}"
    );
    run("nft -f -", &rules);
}

/// The kernel sends a lost first packet again after a second, so each handshake takes that long.
#[test]
fn reaches_a_distant_entra_with_many_addresses() {
    in_network(Network::Loopback, async || {
        resolve(NAME, &EIGHT);
        let (entra, authority) = entra().await;
        let every_first = "tcp sport @seen accept
                           add @seen { tcp sport } drop";
        drop_packets(&entra, every_first);
        let sidecar = Sidecar::start(&entra, &[&authority]).await;
        let answer = sidecar.token("resource=a").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    });
}

#[test]
fn skips_an_unreachable_address() {
    in_network(Network::Loopback, async || {
        resolve(NAME, &EIGHT[..2]);
        let (entra, authority) = entra().await;
        drop_packets(&entra, "ip daddr 127.0.1.1 drop");
        let sidecar = Sidecar::start(&entra, &[&authority]).await;
        let answer = sidecar.token("resource=a").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    });
}

#[test]
fn reaches_entra_when_half_of_its_addresses_are_unreachable() {
    in_network(Network::Loopback, async || {
        resolve(NAME, &EIGHT);
        let (entra, authority) = entra().await;
        drop_packets(&entra, "ip daddr 127.0.1.1-127.0.1.4 drop");
        let sidecar = Sidecar::start(&entra, &[&authority]).await;
        let answer = sidecar.token("resource=a").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    });
}
