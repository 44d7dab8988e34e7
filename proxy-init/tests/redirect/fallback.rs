//! The image's iptables instead of nf_tables.

use nix::libc;
use proxy_init::config::Config;
use proxy_init::iptables;

use crate::failures::refusing_netlink;
use crate::world::{Greeter, Network, Pod, in_pod, outcome, run};

#[test]
fn uses_legacy_iptables_without_nf_tables() {
    in_pod(Network::V4, |pod| {
        for attempt in 0..3 {
            let (code, said) =
                refusing_netlink(libc::NETLINK_NETFILTER, libc::EPROTONOSUPPORT, || {
                    outcome(&mut pod.proxy_init_with("-all,+net_admin,+net_raw"))
                });
            assert_eq!(code, 0, "attempt {attempt}: {said}");
            assert!(
                said.contains("iptables-legacy because the kernel lacks nf_tables"),
                "{said}"
            );
        }
        assert_rules_once("iptables-legacy");
        assert_outcome(pod);
    });
}

#[test]
fn writes_the_same_rules_with_the_nft_flavour() {
    in_pod(Network::V4, |pod| {
        let config = Config::from_environment(|_| None).unwrap();
        for _ in 0..3 {
            iptables::restore("iptables-nft", &config).unwrap();
        }
        assert_rules_once("iptables-nft");
        assert_outcome(pod);
    });
}

#[test]
fn puts_its_rules_before_a_meshs() {
    for iptables in ["iptables-legacy", "iptables-nft"] {
        in_pod(Network::V4, |pod| {
            let config = Config::from_environment(|_| None).unwrap();
            iptables::restore(iptables, &config).unwrap();
            run(&format!(
                "{iptables} -t nat -I OUTPUT 1 -p tcp -j REDIRECT --to-ports 4140"
            ));
            iptables::restore(iptables, &config).unwrap();
            let _mesh = Greeter::start("127.0.0.1:4140", "mesh");
            assert_outcome(pod);
        });
    }
}

#[test]
fn fails_if_iptables_fails() {
    in_pod(Network::V4, |pod| {
        let (code, said) = refusing_netlink(libc::NETLINK_NETFILTER, libc::EPROTONOSUPPORT, || {
            // It has no capability, so it can change nothing.
            outcome(&mut pod.proxy_init_with("-all"))
        });
        assert_eq!(code, 18, "{said}");
        assert!(
            said.contains("no nf_tables") && said.contains("iptables-legacy:"),
            "{said}"
        );
    });
}

fn assert_rules_once(iptables: &str) {
    let saved = run(&format!("{iptables}-save -t nat"));
    let rules: Vec<_> = saved
        .lines()
        .filter(|line| line.starts_with("-A"))
        .collect();
    assert_eq!(
        rules,
        [
            "-A PREROUTING -j AZWI_PREROUTING",
            "-A OUTPUT -j AZWI_OUTPUT",
            "-A AZWI_OUTPUT -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -m owner \
             --uid-owner 1501 -j DNAT --to-destination 169.254.169.254:80",
            "-A AZWI_OUTPUT -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j REDIRECT \
             --to-ports 8000",
            "-A AZWI_PREROUTING -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j REDIRECT \
             --to-ports 8000",
        ]
    );
    let saved = run(&format!("{iptables}-save -t filter"));
    let rules: Vec<_> = saved
        .lines()
        .filter(|line| line.starts_with("-A"))
        .collect();
    assert_eq!(
        rules,
        [
            "-A OUTPUT -j AZWI_GUARD",
            "-A AZWI_GUARD -d 169.254.169.254/32 -p tcp -m tcp --dport 80 --tcp-flags \
             FIN,SYN,RST,ACK SYN -m owner ! --uid-owner 1501 -j DROP",
        ]
    );
}

fn assert_outcome(pod: &Pod) {
    let _proxy = Greeter::start("127.0.0.1:8000", "proxy");
    assert_eq!(pod.ask_imds(1000), "proxy");
    assert_eq!(pod.ask_imds(1501), "node");
}
