//! Pods without IPv4, and pods with both families. The node has a runtime with another network for each, and Azure is
//! there by IPv6 for the time of the test.

use std::io::copy;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;

use contract::annotation;
use e2e::hammer::statuses;
use e2e::{ASK_IMDS, Container, Identity, Namespace, Pod, claims, kubectl_with_input};
use k8s_openapi::api::core::v1;
use serde_json::json;

/// The address of Azure's services and of the name server.
const AZURE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x198, 0x51, 0x100, 0, 0, 0, 0x10);
/// The same services by IPv4.
const AZURE_IPV4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);

/// Loopback, and the metadata service's address that proxy-init adds where no route leads to it.
const NOT_THE_PODS: [&str; 2] = ["127.0.0.1", "169.254.169.254"];

const ASK_ENVIRONMENT: &str = "curl --silent --show-error --fail-with-body --max-time 30 \
     -H \"X-IDENTITY-HEADER: $IDENTITY_HEADER\" \
     \"$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://vault.azure.net\"";

#[tokio::test]
async fn pods_without_ipv4_and_with_both_families_get_their_tokens() {
    let _azure = Azure::by_ipv6();
    let (namespace, identity) = Namespace::with_identity("ip-families").await;
    for handler in ["ipv6", "dual"] {
        let class = json!({
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": { "name": handler },
            "handler": handler,
        });
        kubectl_with_input(&["apply", "-f", "-"], &class.to_string()).await;
    }
    for (name, families) in [("ipv6", vec![6]), ("dual", vec![4, 6])] {
        let pod = pod(name, name);
        namespace.apply(&pod.manifest()).await;
        assert_works(&namespace, &identity, name, ASK_IMDS).await;
        assert_eq!(families_of(&namespace, name).await, families, "{name}");
        // Its network is made a second time, and the init containers run again.
        namespace.kill_sandbox(name).await;
        let app_restarted =
            |pod: &v1::Pod| statuses(pod).any(|it| it.name == "app" && it.restart_count > 0);
        namespace.until(name, app_restarted).await;
        assert_works(&namespace, &identity, name, ASK_IMDS).await;
    }
    for handler in ["ipv6", "dual"] {
        let name = format!("environment-{handler}");
        let environment = pod(&name, handler).annotate(annotation::PROXY_MODE, "environment");
        namespace.apply(&environment.manifest()).await;
        assert_works(&namespace, &identity, &name, ASK_ENVIRONMENT).await;
    }
}

fn pod(name: &str, handler: &str) -> Pod {
    let names = json!({ "nameservers": [AZURE.to_string()] });
    Pod::new(name)
        .with_proxy()
        .field("runtimeClassName", json!(handler))
        .field("dnsPolicy", json!("None"))
        .field("dnsConfig", names)
        .field("restartPolicy", json!("Always"))
        .container(Container::shell("app", "sleep infinity"))
}

async fn assert_works(namespace: &Namespace, identity: &Identity, pod: &str, ask: &str) {
    let answer = namespace.exec(pod, "app", ask).await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

/// The families of a pod's own addresses, seen from inside.
async fn families_of(namespace: &Namespace, pod: &str) -> Vec<u32> {
    let ipv4 = namespace.exec(pod, "app", "cat /proc/net/fib_trie").await;
    let has_ipv4 = local_addresses(&ipv4).any(|it| !NOT_THE_PODS.contains(&it));
    let ipv6 = namespace.exec(pod, "app", "cat /proc/net/if_inet6").await;
    let has_ipv6 = ipv6.lines().any(|line| line.starts_with("fd00"));
    [(4, has_ipv4), (6, has_ipv6)]
        .into_iter()
        .filter_map(|(family, has)| has.then_some(family))
        .collect()
}

/// The addresses of IPv4 in a listing of routes, where each comes before its kind.
fn local_addresses(routes: &str) -> impl Iterator<Item = &str> {
    let lines = routes.lines().map(str::trim);
    lines.clone().zip(lines.skip(1)).filter_map(|(line, next)| {
        let address = line.strip_prefix("|-- ")?;
        next.starts_with("/32 host LOCAL").then_some(address)
    })
}

/// A name server and emulated Azure's services at an address of IPv6.
struct Azure {
    names: Child,
}

impl Azure {
    fn by_ipv6() -> Self {
        let added = Command::new("ip")
            .args([
                "-6",
                "address",
                "replace",
                &format!("{AZURE}/128"),
                "dev",
                "lo",
                "nodad",
            ])
            .status();
        assert!(added.is_ok_and(|it| it.success()), "ip address replace");
        let services = TcpListener::bind((AZURE, 443)).expect("no other test listens there");
        thread::spawn(move || {
            for client in services.incoming().flatten() {
                thread::spawn(move || relay(client));
            }
        });
        let names = Command::new("dnsmasq")
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--pid-file=",
                "--user=root",
            ])
            .args([
                "--bind-interfaces",
                "--no-hosts",
                "--no-resolv",
                "--local=/#/",
            ])
            .arg(format!("--listen-address={AZURE}"))
            // Entra's names have both, whatever the pod can reach.
            .arg(format!("--address=/login.microsoftonline.com/{AZURE}"))
            .arg(format!("--address=/login.microsoftonline.com/{AZURE_IPV4}"))
            .spawn()
            .expect("dnsmasq is on the test node");
        Self { names }
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn relay(client: TcpStream) {
    let Ok(azure) = TcpStream::connect((AZURE_IPV4, 443)) else {
        return;
    };
    let one_way = |mut from: TcpStream, mut to: TcpStream| {
        // An error means that one of them has left.
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (Ok(from), Ok(to)) = (client.try_clone(), azure.try_clone()) else {
        return;
    };
    thread::spawn(move || one_way(from, to));
    one_way(azure, client);
}
