//! Every failure that a test can cause, with its exit code and its sentence.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::world::{Greeter, Network, in_pod, on_own_thread, outcome, run, run_with_input, text};

#[test]
fn detects_a_redirect_that_does_not_work() {
    in_pod(Network::V4, |pod| {
        // Binds the connection before our chain comes, as any other program's rule might.
        run_with_input(
            "nft -f -",
            "table ip other { chain output {
                type nat hook output priority -150;
                ip daddr 169.254.169.254 tcp dport 80 dnat to 169.254.169.254:80
            }
            }",
        );
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 16, "{said}");
        assert!(said.contains("does not arrive at 127.0.0.1:8000"), "{said}");
        assert_eq!(pod.imds.asked(), 0, "the guard keeps it from the node");
    });
}

#[test]
fn does_not_take_a_refused_connection_for_a_proof() {
    in_pod(Network::V4, |pod| {
        run_with_input(
            "nft -f -",
            "table ip other { chain output {
                type filter hook output priority 0;
                tcp dport 8000 reject with tcp reset
            }
            }",
        );
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 16, "{said}");
        assert!(said.contains("connecting failed"), "{said}");
    });
}

#[test]
fn detects_a_redirect_that_does_not_work_in_a_running_pod() {
    in_pod(Network::V4, |pod| {
        run_with_input(
            "nft -f -",
            "table ip other { chain output {
                type nat hook output priority -150;
                ip daddr 169.254.169.254 tcp dport 80 dnat to 169.254.169.254:80
            }
            }",
        );
        let _proxy = Greeter::start_as(1501, "127.0.0.1:8000", "proxy");
        let (code, said) = outcome(&mut pod.proxy_init());
        assert_eq!(code, 16, "{said}");
    });
}

#[test]
fn names_a_taken_port_with_its_user() {
    for address in ["127.0.0.1:8000", "0.0.0.0:8000"] {
        in_pod(Network::V4, |pod| {
            let _other = Greeter::start_as(1000, address, "other");
            let (code, said) = outcome(&mut pod.proxy_init());
            assert_eq!(code, 14, "{said}");
            assert!(
                said.contains("127.0.0.1:8000 is taken by a program of user 1000"),
                "{said}"
            );
        });
    }
}

#[test]
fn names_a_table_that_another_program_owns() {
    in_pod(Network::V4, |pod| {
        // The kernel removes the table when the program that owns it ends.
        let mut owner = Command::new("nft")
            .args(["--interactive"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut commands = owner.stdin.take().unwrap();
        let table = "azure-workload-identity";
        writeln!(commands, "add table ip {table} {{ flags owner; }}").unwrap();
        // It lists the table after it has made it.
        writeln!(commands, "list tables").unwrap();
        let mut said = BufReader::new(owner.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains(&format!("table ip {table}"))));

        for key in ["", "000102030405060708090a0b0c0d0e0f"] {
            let (code, said) = outcome(pod.proxy_init().env("AZWI_RELAY_KEY", key));
            assert_eq!(code, 17, "{said}");
            assert!(
                said.contains("another program owns the table ip azure-workload-identity"),
                "{said}"
            );
        }
        drop(commands);
        owner.wait().unwrap();
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
    });
}

#[test]
fn fails_without_the_capability() {
    in_pod(Network::V4, |pod| {
        let (code, said) = outcome(&mut pod.proxy_init_with("-all"));
        assert_eq!(code, 10, "{said}");
        assert!(said.contains("NET_ADMIN is missing"), "{said}");
        assert_eq!(run("nft list ruleset"), "");
    });
}

#[test]
fn distinguishes_a_seccomp_filter_from_a_missing_capability() {
    in_pod(Network::V4, |pod| {
        let (code, said) = refusing_netlink(libc::NETLINK_NETFILTER, libc::EPERM, || {
            outcome(&mut pod.proxy_init())
        });
        assert_eq!(code, 15, "{said}");
        assert!(said.contains("seccomp"), "{said}");
    });
}

#[test]
fn fails_without_nf_tables_and_iptables() {
    in_pod(Network::V4, |pod| {
        let (code, said) = refusing_netlink(libc::NETLINK_NETFILTER, libc::EPROTONOSUPPORT, || {
            outcome(pod.proxy_init().env("PATH", "/usr/bin"))
        });
        assert_eq!(code, 11, "{said}");
        assert!(said.contains("no nf_tables"), "{said}");
    });
}

#[test]
fn fails_without_a_route() {
    in_pod(Network::V6, |pod| {
        let (code, said) = refusing_netlink(libc::NETLINK_ROUTE, libc::EPERM, || {
            outcome(&mut pod.proxy_init())
        });
        assert_eq!(code, 13, "{said}");
        assert!(said.contains("no route to 169.254.169.254"), "{said}");
    });
}

#[test]
fn reports_every_mistake_at_once() {
    in_pod(Network::V4, |pod| {
        let (code, said) = outcome(
            pod.proxy_init()
                .env("PROXY_PORT", "0")
                .env("PROXY_UID", "root"),
        );
        assert_eq!(code, 64, "{said}");
        assert!(
            said.contains("PROXY_PORT") && said.contains("PROXY_UID"),
            "{said}"
        );
        assert_eq!(outcome(pod.proxy_init().arg("start")).0, 64);
        assert_eq!(run("nft list ruleset"), "");
    });
}

#[test]
fn does_not_run_as_the_proxys_user() {
    in_pod(Network::V4, |pod| {
        let (code, said) = outcome(pod.proxy_init().env("PROXY_UID", "0"));
        assert_eq!(code, 64, "{said}");
        let (code, said) = outcome(
            Command::new("setpriv")
                .args(["--reuid=1501", "--regid=1501", "--clear-groups"])
                .args(["--inh-caps=+net_admin", "--ambient-caps=+net_admin"])
                .arg(env!("CARGO_BIN_EXE_proxy-init")),
        );
        assert_eq!(code, 64, "{said}");
        assert!(said.contains("PROXY_UID=1501"), "{said}");
    });
}

#[test]
fn writes_the_termination_message_on_a_read_only_root() {
    in_pod(Network::V4, |_pod| {
        let script = "mount -t tmpfs none /dev && : > /dev/termination-log \
             && mount -o remount,bind,ro / && \"$@\"; code=$?; cat /dev/termination-log; exit $code";
        let output = crate::world::output(
            Command::new("unshare")
                .args(["--mount", "sh", "-c", script, "sh"])
                .args(["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
                .arg(env!("CARGO_BIN_EXE_proxy-init")),
        );
        assert_eq!(output.status.code(), Some(10));
        let message = text(&output.stdout);
        assert!(message.contains("NET_ADMIN is missing"), "{message}");
        assert_eq!(message, text(&output.stderr));
    });
}

/// Runs `test` under a seccomp filter that refuses netlink sockets of this protocol.
pub(crate) fn refusing_netlink<T: Send>(
    protocol: i32,
    errno: i32,
    test: impl FnOnce() -> T + Send,
) -> T {
    let is = |argument, value: i32| {
        SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            u64::from(value.cast_unsigned()),
        )
        .unwrap()
    };
    let rule = SeccompRule::new(vec![is(0, libc::AF_NETLINK), is(2, protocol)]).unwrap();
    let filter: BpfProgram = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_socket, vec![rule])]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    )
    .unwrap()
    .try_into()
    .unwrap();
    on_own_thread(|| {
        seccompiler::apply_filter(&filter).unwrap();
        test()
    })
}
