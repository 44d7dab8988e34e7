//! Pods without IPv4, and pods with both families. The node has a runtime with another network for each, and Azure is
//! there by IPv6 for the time of the test.

use std::io::copy;
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;

use contract::annotation;
use e2e::{Container, Identity, Namespace, Pod, claims, kubectl_with_input};
use serde_json::json;

/// The address of Azure's services and of the name server.
const AZURE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x198, 0x51, 0x100, 0, 0, 0, 0x10);
/// The same services by IPv4.
const AZURE_IPV4: &str = "198.51.100.10:443";

const ASK: &str = "curl --silent --show-error --fail-with-body --max-time 30 -H Metadata:true \
     'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'";
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
        assert_works(&namespace, &identity, name, ASK).await;
        assert_eq!(families_of(&namespace, name).await, families, "{name}");
        // Its network is made a second time, and the init containers run again.
        namespace.kill_sandbox(name).await;
        let is_new = |pod: &k8s_openapi::api::core::v1::Pod| restarts(pod) > 0;
        namespace.until(name, is_new).await;
        assert_works(&namespace, &identity, name, ASK).await;
    }
    let environment = pod("environment", "ipv6").annotate(annotation::PROXY_MODE, "environment");
    namespace.apply(&environment.manifest()).await;
    assert_works(&namespace, &identity, "environment", ASK_ENVIRONMENT).await;
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
    let printed = namespace
        .exec(
            pod,
            "app",
            "cat /proc/net/route; echo; cat /proc/net/if_inet6",
        )
        .await;
    let (ipv4, ipv6) = printed.split_once("\n\n").unwrap_or((&printed, ""));
    // The first line is a heading. The metadata service's own address is no route.
    let has_ipv4 = ipv4.lines().count() > 1;
    let has_ipv6 = ipv6.lines().any(|line| line.starts_with("fd00"));
    [(4, has_ipv4), (6, has_ipv6)]
        .into_iter()
        .filter_map(|(family, has)| has.then_some(family))
        .collect()
}

fn restarts(pod: &k8s_openapi::api::core::v1::Pod) -> i32 {
    let statuses = pod.status.iter();
    let statuses = statuses.flat_map(|it| it.container_statuses.iter().flatten());
    statuses
        .map(|it| it.restart_count)
        .max()
        .unwrap_or_default()
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
            .arg(format!("--address=/login.microsoftonline.com/{AZURE}"))
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
    let Ok(azure) = TcpStream::connect(AZURE_IPV4) else {
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
