//! The exemption of connections that the proxy announces, and the processes that try to pass for the proxy.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use contract::value::RelayKey;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, getsockname, setsockopt, socket,
    sockopt::{ReuseAddr, SendTimeout},
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{Uid, setfsuid};

use proxy_init::config::Config;
use proxy_init::iptables;

use crate::world::{
    Greeter, Network, Pod, in_pod, in_pod_with_own_users, outcome, output, run, text,
};

const KEY: RelayKey = RelayKey::new([0xa5; RelayKey::LENGTH]);
const IMDS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

const RULES: &str = "\
table ip azure-workload-identity {
	set announced {
		type inet_service
		size 65535
		flags dynamic,timeout
		timeout 1s
	}

	chain announce {
		type filter hook output priority raw; policy accept;
		ip daddr 169.254.169.254 udp dport 80 meta skuid 1501 @th,64,128 0xa5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 update @announced { @th,192,16 }
		ip daddr 169.254.169.254 udp dport 80 drop
	}

	chain output {
		type nat hook output priority -101; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 meta skuid 1501 tcp sport @announced dnat to 169.254.169.254:80
		ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
	}

	chain prerouting {
		type nat hook prerouting priority dstnat - 1; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
	}

	chain guard {
		type filter hook output priority filter; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 tcp flags syn / fin,syn,rst,ack meta skuid 1501 tcp sport @announced delete @announced { tcp sport } accept
		ip daddr 169.254.169.254 tcp dport 80 tcp flags syn / fin,syn,rst,ack drop
	}
}";

/// A TCP socket of this user, bound to a port, that is not connected yet.
struct Bound(OwnedFd);

impl Bound {
    fn new(uid: u32) -> Self {
        Self::to(uid, 0).unwrap()
    }

    fn to(uid: u32, port: u16) -> nix::Result<Self> {
        setfsuid(Uid::from_raw(uid));
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        setfsuid(Uid::from_raw(0));
        let socket = socket?;
        // What a process may do that wants a port of another.
        setsockopt(&socket, ReuseAddr, &(port != 0))?;
        bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
        Ok(Self(socket))
    }

    fn port(&self) -> u16 {
        getsockname::<SockaddrIn>(self.0.as_raw_fd())
            .unwrap()
            .port()
    }

    /// The word of the server that the connection reaches.
    fn ask(self) -> String {
        self.ask_within(TimeVal::seconds(60)).unwrap()
    }

    /// The same; an error if no server accepts the connection in this time.
    fn ask_within(self, timeout: TimeVal) -> nix::Result<String> {
        setsockopt(&self.0, SendTimeout, &timeout)?;
        connect(self.0.as_raw_fd(), &SockaddrIn::from(IMDS))?;
        let stream = TcpStream::from(self.0);
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).unwrap();
        let mut word = String::new();
        // To the end: who closes first keeps the port.
        (&stream).read_to_string(&mut word).unwrap();
        Ok(word.trim_end().to_owned())
    }
}

/// Announces a connection from this port as user 1501.
fn announce_if_there_is_a_rule(key: RelayKey, port: u16) {
    let _ = send_announcement(1501, key, port);
}

fn send_announcement(uid: u32, key: RelayKey, port: u16) -> io::Result<usize> {
    setfsuid(Uid::from_raw(uid));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    setfsuid(Uid::from_raw(0));
    socket.send_to(&key.announcement(port), SocketAddr::V4(IMDS))
}

/// Announces a connection from this port, as user `uid` with `key`.
fn announce(uid: u32, key: RelayKey, port: u16) {
    let sent = send_announcement(uid, key, port);
    assert_eq!(
        sent.unwrap_err().kind(),
        ErrorKind::PermissionDenied,
        "the rules take every datagram out, so that no key leaves the pod"
    );
}

fn announced_connection(uid: u32, key: RelayKey) -> String {
    let bound = Bound::new(uid);
    announce(uid, key, bound.port());
    bound.ask()
}

fn redirected(pod: &Pod) -> Greeter {
    let (code, said) = outcome(pod.proxy_init().env("AZWI_RELAY_KEY", KEY.to_string()));
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("except those that user 1501 announces with its key"),
        "{said}"
    );
    assert!(!said.contains("a5a5"), "{said}");
    Greeter::start("127.0.0.1:8000", "proxy")
}

#[test]
fn exempts_announced_connections_alone() {
    in_pod(Network::V4, |pod| {
        // Replaces rules that exempt the user.
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        for _ in 0..3 {
            drop(redirected(pod));
            assert_eq!(run("nft list ruleset"), RULES);
        }
        let _proxy = redirected(pod);

        let before = pod.imds.asked();
        for uid in [0, 1000, 1501] {
            assert_eq!(pod.ask_imds(uid), "proxy", "user {uid}");
        }
        assert_eq!(
            announced_connection(1501, RelayKey::new([0xa4; 16])),
            "proxy",
            "another key"
        );
        assert_eq!(announced_connection(1000, KEY), "proxy", "another user");
        assert_eq!(pod.imds.asked(), before, "the node was never asked");

        for _ in 0..1000 {
            assert_eq!(announced_connection(1501, KEY), "node");
        }
    });
}

#[test]
fn exempts_one_connection_for_each_announcement() {
    in_pod(Network::V4, |pod| {
        let _proxy = redirected(pod);
        // The interface drops packets for up to a second after it is up, longer than an announcement lasts.
        assert_eq!(announced_connection(1501, KEY), "node");
        let bound = Bound::new(1501);
        let port = bound.port();
        announce(1501, KEY, port);
        assert_eq!(
            Bound::to(1501, port).err(),
            Some(nix::errno::Errno::EADDRINUSE),
            "no process has the port between announcement and connection"
        );
        assert_eq!(bound.ask(), "node");
        // The node closed first, so the port is free.
        let again = Bound::to(1501, port).unwrap();
        assert_eq!(again.ask(), "proxy");
    });
}

#[test]
fn ends_an_announcement_without_a_connection() {
    in_pod(Network::V4, |pod| {
        let _proxy = redirected(pod);
        let bound = Bound::new(1501);
        announce(1501, KEY, bound.port());
        let set = "nft list set ip azure-workload-identity announced";
        let deadline = Instant::now() + Duration::from_secs(60);
        while run(set).contains("elements") {
            assert!(Instant::now() < deadline, "{}", run(set));
        }
        assert_eq!(bound.ask(), "proxy");
    });
}

/// Connection tracking keeps the exemption of a connection that the node never answered.
#[test]
fn exempts_no_later_connection_from_the_same_port() {
    keeps_later_connections_from_the_node(&[1000, 1501], redirected);
    let by_hand = |pod: &Pod| {
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        Greeter::start("127.0.0.1:8000", "proxy")
    };
    keeps_later_connections_from_the_node(&[1000], by_hand);
    for flavour in ["iptables-legacy", "iptables-nft"] {
        keeps_later_connections_from_the_node(&[1000], |_| {
            let config = Config::from_environment(|_| None).unwrap();
            iptables::restore(flavour, &config).unwrap();
            Greeter::start("127.0.0.1:8000", "proxy")
        });
    }
}

fn keeps_later_connections_from_the_node(uids: &[u32], redirect: impl Fn(&Pod) -> Greeter + Sync) {
    in_pod(Network::V4, |pod| {
        let _proxy = redirect(pod);
        // The node does not answer.
        run("ip neigh replace 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0");
        let bound = Bound::new(1501);
        let port = bound.port();
        announce_if_there_is_a_rule(KEY, port);
        let unanswered = bound.ask_within(TimeVal::milliseconds(300));
        assert!(unanswered.is_err(), "{unanswered:?}");
        // It answers again.
        run("ip neigh del 192.0.2.1 dev eth0");
        let bound = Bound::new(1501);
        announce_if_there_is_a_rule(KEY, bound.port());
        assert_eq!(bound.ask(), "node", "it answers again");
        let before = pod.imds.asked();
        for &uid in uids {
            let bound = Bound::to(uid, port).unwrap();
            let answer = bound.ask_within(TimeVal::milliseconds(300));
            assert_ne!(answer.as_deref(), Ok("node"), "user {uid}");
        }
        assert_eq!(pod.imds.asked(), before, "the node was never asked");
    });
}

#[test]
fn keeps_a_process_that_becomes_the_proxys_user_from_the_node() {
    in_pod(Network::V4, |pod| {
        let attack = |way: &str| {
            let output = output(Command::new("bash").args(["-c", way]));
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        // The containers are written by hand, without a key.
        assert_eq!(outcome(&mut pod.proxy_init()).0, 0);
        for way in [SET_USER_ID_FILE, NEW_UID_MAP] {
            assert_eq!(attack(way), "node");
        }
        let _proxy = redirected(pod);
        let before = pod.imds.asked();
        // CAP_SETUID, which a container that runs as root has by default.
        assert_eq!(pod.ask_imds(1501), "proxy");
        for way in [SET_USER_ID_FILE, NEW_UID_MAP] {
            assert_eq!(attack(way), "proxy");
        }
        assert_eq!(pod.imds.asked(), before, "the node was never asked");
    });
}

#[test]
fn works_with_a_key_in_a_pod_with_its_own_user_namespace() {
    in_pod_with_own_users(|pod| {
        let _proxy = redirected(pod);
        assert_eq!(pod.ask_imds(1000), "proxy");
        assert_eq!(pod.ask_imds(1501), "proxy");
    });
}

#[test]
fn needs_no_key_if_the_proxy_relays_nothing() {
    in_pod(Network::V4, |pod| {
        let mut proxy_init = pod.proxy_init();
        proxy_init.env("AZWI_RELAY_KEY", KEY.to_string());
        assert_eq!(outcome(proxy_init.env("AZWI_RELAY", "deny")).0, 0);
        let rules = run("nft list ruleset");
        assert!(
            !rules.contains("announce") && !rules.contains("skuid"),
            "{rules}"
        );
    });
}

/// Without a capability: user 1000 runs a file that user 1501 owns.
const SET_USER_ID_FILE: &str = "\
directory=$(mktemp -d) && trap 'rm -r $directory' EXIT && chmod 755 $directory &&
cp /bin/bash $directory/ask && chown 1501 $directory/ask && chmod 4755 $directory/ask &&
setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all --inh-caps=-all \
    $directory/ask -p -c 'exec 3<>/dev/tcp/169.254.169.254/80 && read -r word <&3 && echo $word'";

/// Without a capability: the range of user 1000 in /etc/subuid covers 1501, and newuidmap maps it.
const NEW_UID_MAP: &str = "\
subuid=$(mktemp) && trap 'rm $subuid' EXIT && echo 1000:1501:1 > $subuid && chmod 644 $subuid &&
export subuid && unshare --mount bash -c '
mount --bind $subuid /etc/subuid &&
setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all bash -c \"
    unshare --user sleep 60 & child=\\$!
    until [ \\$(readlink /proc/\\$child/ns/user) != \\$(readlink /proc/self/ns/user) ]; do :; done
    newuidmap \\$child 0 1501 1 && nsenter --target \\$child --user --setuid=0 --preserve-credentials \
        bash -c \\\"exec 3<>/dev/tcp/169.254.169.254/80 && read -r word <&3 && echo \\\\\\$word\\\"
    kill \\$child
\"'";
