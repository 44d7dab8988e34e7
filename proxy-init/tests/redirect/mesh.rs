//! proxy-init beside a service mesh, whose init container or network plugin redirects everything.

use crate::world::{Greeter, Network, in_pod, outcome, run, run_with_input};

/// The rules of Istio's init container for outbound traffic (its proxy is user 1337).
const ISTIO: &str = "\
*nat
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
COMMIT
";

/// The rules of Linkerd's init container for outbound traffic (its proxy is user 2102).
const LINKERD: &str = "\
*nat
:PROXY_INIT_OUTPUT - [0:0]
-A OUTPUT -j PROXY_INIT_OUTPUT
-A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN
-A PROXY_INIT_OUTPUT -o lo -j RETURN
-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-port 4140
COMMIT
";

#[test]
fn works_beside_istio_with_nft() {
    beside("iptables-nft", ISTIO, "127.0.0.1:15001", 1337);
}

#[test]
fn works_beside_istio_with_legacy() {
    beside("iptables-legacy", ISTIO, "127.0.0.1:15001", 1337);
}

#[test]
fn works_beside_linkerd_with_nft() {
    beside("iptables-nft", LINKERD, "127.0.0.1:4140", 2102);
}

#[test]
fn works_beside_linkerd_with_legacy() {
    beside("iptables-legacy", LINKERD, "127.0.0.1:4140", 2102);
}

fn beside(iptables: &str, rules: &str, mesh: &str, mesh_uid: u32) {
    for mesh_is_first in [true, false] {
        in_pod(Network::V4, |pod| {
            let start_mesh = || run_with_input(&format!("{iptables}-restore --noflush"), rules);
            let start_ours = || {
                let (code, said) = outcome(&mut pod.proxy_init());
                assert_eq!(code, 0, "{said}");
            };
            if mesh_is_first {
                start_mesh();
                start_ours();
            } else {
                start_ours();
                start_mesh();
            }
            let saved = |line: &str| -> Vec<String> {
                // Without comments and counters.
                let saved = run(line);
                let lines = saved.lines().filter(|line| line.starts_with("-A"));
                lines.map(str::to_owned).collect()
            };
            let mesh_rules = saved(&format!("{iptables}-save -t nat"));
            assert_eq!(
                mesh_rules.len(),
                rules.lines().filter(|line| line.starts_with("-A")).count()
            );

            let _mesh = Greeter::start(mesh, "mesh");
            let _proxy = Greeter::start("127.0.0.1:8000", "proxy");
            let before = pod.imds.asked();
            assert_eq!(pod.ask(1000, "192.0.2.1/443"), "mesh", "the mesh works");
            assert_eq!(
                pod.ask(1501, "192.0.2.1/443"),
                "mesh",
                "for the proxy's Entra too"
            );
            assert_eq!(pod.ask_imds(1000), "proxy", "mesh first: {mesh_is_first}");
            assert_eq!(
                pod.ask_imds(mesh_uid),
                "proxy",
                "mesh first: {mesh_is_first}"
            );
            assert_eq!(pod.imds.asked(), before);
            assert_eq!(
                pod.ask_imds(1501),
                "node",
                "no loop, mesh first: {mesh_is_first}"
            );
        });
    }
}
