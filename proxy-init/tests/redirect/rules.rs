//! The effect of the rules, and of a second run.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::world::{
    Greeter, Network, Pod, in_pod, in_pod_with_own_users, outcome, run, run_with_input,
};

const RULES: &str = "\
table ip azure-workload-identity {
	chain output {
		type nat hook output priority -101; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 meta skuid 1501 dnat to 169.254.169.254:80
		ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
	}

	chain prerouting {
		type nat hook prerouting priority dstnat - 1; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
	}

	chain guard {
		type filter hook output priority filter; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 tcp flags syn / fin,syn,rst,ack meta skuid 1501 accept
		ip daddr 169.254.169.254 tcp dport 80 tcp flags syn / fin,syn,rst,ack drop
	}
}";

#[test]
fn redirects_every_user_but_the_proxys() {
    in_pod(Network::V4, |pod| {
        assert_eq!(pod.ask_imds(1000), "node", "before");

        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains("a random token that went both ways"),
            "{said}"
        );
        assert_eq!(run("nft list ruleset"), RULES);

        let _proxy = Greeter::start("127.0.0.1:8000", "proxy");
        let before = pod.imds.asked();
        for uid in [0, 1000, 1500, 1502] {
            assert_eq!(pod.ask_imds(uid), "proxy", "user {uid}");
            assert_eq!(
                pod.ask(uid, "::ffff:169.254.169.254/80"),
                "proxy",
                "user {uid}"
            );
        }
        assert_eq!(pod.imds.asked(), before, "the node was never asked");
        assert_eq!(
            pod.ask_imds(1501),
            "node",
            "the proxy relays to the real IMDS"
        );
    });
}

#[test]
fn exempts_no_user_if_the_proxy_relays_nothing() {
    in_pod(Network::V4, |pod| {
        // Replaces rules with the exemption.
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        let (code, said) = outcome(pod.proxy_init().env("AZWI_RELAY", "deny"));
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains("except"), "{said}");
        let rules: String = RULES
            .lines()
            .filter(|line| !line.contains("skuid"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(run("nft list ruleset"), rules.trim_end());

        let _proxy = Greeter::start("127.0.0.1:8000", "proxy");
        assert_eq!(pod.ask_imds(1501), "proxy");
        assert_eq!(pod.imds.asked(), 0, "the node was never asked");
    });
}

#[test]
fn refuses_connections_while_no_proxy_listens() {
    in_pod(Network::V4, |pod| {
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        let answer = pod.ask_imds(1000);
        assert!(answer.starts_with("nothing:"), "{answer}");
        assert_eq!(pod.imds.asked(), 0);
    });
}

#[test]
fn reads_its_configuration_from_the_environment() {
    in_pod(Network::V4, |pod| {
        let (code, said) = outcome(
            pod.proxy_init()
                .env("METADATA_IP", "192.0.2.1")
                .env("METADATA_PORT", "81")
                .env("PROXY_PORT", "9000")
                .env("PROXY_UID", "65532"),
        );
        assert_eq!(code, 0, "{said}");
        let rules = run("nft list ruleset");
        for rule in [
            "ip daddr 192.0.2.1 tcp dport 81 meta skuid 65532 dnat to 192.0.2.1:81",
            "ip daddr 192.0.2.1 tcp dport 81 redirect to :9000",
        ] {
            assert!(rules.contains(rule), "{rules}");
        }
    });
}

#[test]
fn puts_the_address_on_lo_in_a_pod_with_ipv6_alone() {
    in_pod(Network::V6, |pod| {
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("put on lo"), "{said}");
        let _proxy = Greeter::start("127.0.0.1:8000", "proxy");
        assert_eq!(pod.ask_imds(1000), "proxy");

        drop(_proxy);
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0, "again");
        let addresses = run("ip -oneline -4 address show dev lo");
        assert_eq!(
            addresses.matches("169.254.169.254/32").count(),
            1,
            "{addresses}"
        );
    });
}

#[test]
fn works_in_a_pod_with_its_own_user_namespace() {
    in_pod_with_own_users(|pod| {
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 0, "{said}");
        let _proxy = Greeter::start("127.0.0.1:8000", "proxy");
        assert_eq!(pod.ask_imds(1000), "proxy");
        assert_eq!(pod.ask_imds(1501), "node");
    });
}

#[test]
fn keeps_a_network_inside_the_pod_from_the_node() {
    in_pod(Network::V4, |pod| {
        run("sysctl -q -w net.ipv4.ip_forward=1");
        run_with_input(
            "nft -f -",
            "table ip inner { chain postrouting {
                type nat hook postrouting priority 100; ip saddr 172.16.0.0/12 masquerade
            }
            }",
        );
        assert_eq!(pod.ask_imds_from_inside(1, 1000), "node", "before");

        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        let before = pod.imds.asked();
        for (network, uid) in [(2, 1000), (3, 1501)] {
            let answer = pod.ask_imds_from_inside(network, uid);
            assert!(answer.starts_with("nothing:"), "user {uid}: {answer}");
        }
        assert_eq!(pod.imds.asked(), before);
    });
}

#[test]
fn leaves_one_rule_set_after_ten_runs() {
    let others = "\
table inet filter {
	chain output {
		type filter hook output priority filter; policy accept;
		ip daddr 192.0.2.99 drop
	}
}
table ip nat {
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		tcp dport 9999 redirect to :9998
	}
}";
    in_pod(Network::V4, |pod| {
        run_with_input("nft -f -", others);
        for attempt in 0..10 {
            let (code, said) = outcome(&mut pod.proxy_init());
            assert_eq!(code, 0, "attempt {attempt}: {said}");
            assert_eq!(run("nft list table ip azure-workload-identity"), RULES);
        }
        run("nft delete table ip azure-workload-identity");
        assert_eq!(run("nft list ruleset"), others);
    });
}

#[test]
fn replaces_an_older_or_damaged_table() {
    in_pod(Network::V4, |pod| {
        run_with_input(
            "nft -f -",
            "table ip azure-workload-identity {
                set s { type ipv4_addr; elements = { 192.0.2.5 } }
                chain output {
                    type nat hook output priority -100;
                    ip daddr @s drop
                    ip daddr 169.254.169.254 accept
                }
                chain more { }
            }",
        );
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 0, "{said}");
        assert_eq!(run("nft list ruleset"), RULES);
    });
}

#[test]
fn leaves_all_rules_or_none_when_it_is_killed() {
    in_pod(Network::V4, |pod| {
        for delay in 0..150 {
            let mut child = pod.proxy_init().stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_micros(delay * 100));
            child.kill().unwrap();
            child.wait().unwrap();
            let rules = run("nft list ruleset");
            assert!(rules.is_empty() || rules == RULES, "{rules}");
            if delay % 3 == 0 && !rules.is_empty() {
                run("nft flush ruleset");
            }
        }
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 0, "{said}");
        assert_eq!(run("nft list ruleset"), RULES);
    });
}

#[test]
fn accepts_a_running_proxy_as_proof() {
    in_pod(Network::V4, |pod| {
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        let _proxy = Greeter::start_as(1501, "127.0.0.1:8000", "proxy");
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 0, "{said}");
        assert!(
            said.contains("a connection that reached the running proxy"),
            "{said}"
        );
        assert_eq!(run("nft list ruleset"), RULES);
        assert_eq!(pod.ask_imds(1000), "proxy");
    });
}

#[test]
fn leaves_the_port_free_for_the_proxy() {
    in_pod(Network::V4, |pod: &Pod| {
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        // A proxy that does not set SO_REUSEADDR, as the standard library and Go do.
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Inet,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::empty(),
            None,
        )
        .unwrap();
        let address = nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, 8000);
        nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address).unwrap();
    });
}

#[test]
fn succeeds_on_a_busy_node() {
    thread::scope(|scope| {
        let pods: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    in_pod(Network::V4, |pod| {
                        for _ in 0..10 {
                            let (code, said) = outcome(&mut pod.proxy_init());
                            assert_eq!(code, 0, "{said}");
                        }
                    });
                })
            })
            .collect();
        for pod in pods {
            pod.join().unwrap();
        }
    });
}
