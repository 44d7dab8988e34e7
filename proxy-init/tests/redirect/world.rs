//! A pod's network and its node's, each in a network namespace. No traffic leaves them, and they end with
//! the test.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock};
use std::thread;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{Uid, gettid, setfsuid};

/// The network between the pod and its node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// IPv4 with a default route.
    V4,
    /// IPv6 alone.
    V6,
}

/// A pod whose node answers `node` at 169.254.169.254:80.
pub(crate) struct Pod {
    /// The node's IMDS, which counts its connections.
    pub(crate) imds: Greeter,
    /// The pod's user namespace, if it has one.
    user_namespace: Option<u32>,
    node: Option<(thread::JoinHandle<()>, mpsc::Sender<()>)>,
}

/// Runs `test` in a pod. The thread that runs it is in the pod's network.
pub(crate) fn in_pod(network: Network, test: impl FnOnce(&Pod) + Send) {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run the tests as root");
        test(&Pod::connect(network, None));
    });
}

/// Runs `test` in a pod whose users are not the node's (`hostUsers: false`).
pub(crate) fn in_pod_with_own_users(test: impl FnOnce(&Pod) + Send) {
    on_own_thread(|| {
        let holder = Holder::start();
        let network = File::open(format!("/proc/{}/ns/net", holder.0.id())).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        test(&Pod::connect(Network::V4, Some(holder.0.id())));
    });
}

/// The program under test as a path that every user can run, wherever the checkout is: an open file
/// needs no rights on the folders above it.
fn program() -> String {
    static PROGRAM: LazyLock<File> = LazyLock::new(|| {
        let file = File::open(env!("CARGO_BIN_EXE_proxy-init")).unwrap();
        // Not closed by exec.
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        file
    });
    format!("/proc/self/fd/{}", PROGRAM.as_raw_fd())
}

impl Pod {
    fn connect(network: Network, user_namespace: Option<u32>) -> Self {
        ip("link set lo up");
        let (tell_ready, ready) = mpsc::channel();
        let (tell_linked, linked) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let node = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            ip("address add 169.254.169.254/32 dev lo");
            let imds = Greeter::start("169.254.169.254:80", "node");
            tell_ready.send((gettid(), imds)).unwrap();
            linked.recv().unwrap();
            ip("address add 192.0.2.1/24 dev pod0");
            ip("address add 2001:db8::1/64 dev pod0 nodad");
            ip("link set pod0 up");
            // Holds the node's network until the pod drops its sender.
            let _ = ended.recv();
        });
        let (node_thread, imds) = ready.recv().unwrap();
        ip(&format!(
            "link add eth0 type veth peer name pod0 netns {node_thread}"
        ));
        match network {
            Network::V4 => {
                ip("address add 192.0.2.2/24 dev eth0");
                ip("link set eth0 up");
                ip("route add default via 192.0.2.1");
            }
            Network::V6 => {
                ip("address add 2001:db8::2/64 dev eth0 nodad");
                ip("link set eth0 up");
                ip("route add default via 2001:db8::1");
            }
        }
        tell_linked.send(()).unwrap();
        Self {
            imds,
            user_namespace,
            node: Some((node, end)),
        }
    }

    /// `proxy-init` as the init container runs it: user 0, NET_ADMIN and nothing else.
    pub(crate) fn proxy_init(&self) -> Command {
        self.proxy_init_with("-all,+net_admin")
    }

    /// `proxy-init` with these capabilities, as `setpriv` writes them.
    pub(crate) fn proxy_init_with(&self, capabilities: &str) -> Command {
        let bounding = format!("--bounding-set={capabilities}");
        let mut command = self.command("setpriv");
        command
            .args([&bounding, "--inh-caps=-all", "--no-new-privs"])
            .arg(program());
        command
    }

    /// The answer to a process of user `uid` at `address`.
    pub(crate) fn ask(&self, uid: u32, address: &str) -> String {
        let script =
            format!("exec 3<>/dev/tcp/{address} && read -r -t 60 answer <&3 && echo \"$answer\"");
        let output = output(
            self.command("setpriv")
                .args([&format!("--reuid={uid}"), "--regid=0", "--clear-groups"])
                .args(["timeout", "60", "bash", "-c", &script]),
        );
        if output.status.success() {
            text(&output.stdout)
        } else {
            format!("nothing: {}", text(&output.stderr))
        }
    }

    /// The answer to an application.
    pub(crate) fn ask_imds(&self, uid: u32) -> String {
        self.ask(uid, "169.254.169.254/80")
    }

    /// The answer to a process in a network inside the pod, as Docker in Docker makes. `number` identifies
    /// the network.
    pub(crate) fn ask_imds_from_inside(&self, number: u8, uid: u32) -> String {
        let (tell_ready, ready) = mpsc::channel();
        let (tell_linked, linked) = mpsc::channel();
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                tell_ready.send(gettid()).unwrap();
                linked.recv().unwrap();
                ip(&format!("address add 172.17.{number}.2/24 dev eth0"));
                ip("link set eth0 up");
                ip(&format!("route add default via 172.17.{number}.1"));
                self.ask_imds(uid)
            });
            let thread = ready.recv().unwrap();
            ip(&format!(
                "link add inner{number} type veth peer name eth0 netns {thread}"
            ));
            ip(&format!(
                "address add 172.17.{number}.1/24 dev inner{number}"
            ));
            ip(&format!("link set inner{number} up"));
            tell_linked.send(()).unwrap();
            inside.join().unwrap()
        })
    }

    fn command(&self, program: &str) -> Command {
        let Some(process) = self.user_namespace else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command
            .args([
                &format!("--target={process}"),
                "--user",
                "--setuid=0",
                "--setgid=0",
            ])
            .args(["--", program]);
        command
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some((node, end)) = self.node.take() {
            drop(end);
            let _ = node.join();
        }
    }
}

/// Answers every connection with a word.
pub(crate) struct Greeter {
    listener: Arc<TcpListener>,
    asked: Arc<AtomicUsize>,
}

impl Greeter {
    /// Listens in the network of this thread.
    pub(crate) fn start(address: &str, word: &'static str) -> Self {
        let listener = Arc::new(TcpListener::bind(address).unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let greeter = Self {
            listener: Arc::clone(&listener),
            asked: Arc::clone(&asked),
        };
        thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                asked.fetch_add(1, Ordering::SeqCst);
                let _ = writeln!(client, "{word}");
            }
        });
        greeter
    }

    /// Listens with a socket of the user `uid`.
    pub(crate) fn start_as(uid: u32, address: &str, word: &'static str) -> Self {
        // The file system user of this thread alone, which owns the sockets that it makes.
        setfsuid(Uid::from_raw(uid));
        let greeter = Self::start(address, word);
        setfsuid(Uid::from_raw(0));
        greeter
    }

    /// The number of connections so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }
}

/// A process with a user namespace, and a network namespace that belongs to it.
struct Holder(Child);

impl Holder {
    fn start() -> Self {
        let mut child = Command::new("unshare")
            .args([
                "--user",
                "--net",
                "--",
                "sh",
                "-c",
                "echo ready && read end",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| explain("unshare", &error));
        let ready = child.stdout.as_mut().unwrap();
        ready.read_exact(&mut [0; 6]).expect("a user namespace");
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{map}", child.id()), "0 100000 65536").unwrap();
        }
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program as the network's administrator and returns its output.
pub(crate) fn run(line: &str) -> String {
    run_with_input(line, "")
}

/// The same, with `input`.
pub(crate) fn run_with_input(line: &str, input: &str) -> String {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| explain(program, &error));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| explain(&command.get_program().to_string_lossy(), &error))
}

/// Runs `test` on a new thread, because a thread cannot return to another network.
pub(crate) fn on_own_thread<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(test).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Bytes as text without the last newline.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// The exit code and the standard error.
pub(crate) fn outcome(command: &mut Command) -> (i32, String) {
    let output = output(command);
    (output.status.code().unwrap_or(-1), text(&output.stderr))
}

fn ip(arguments: &str) {
    run(&format!("ip {arguments}"));
}

fn explain(program: &str, error: &std::io::Error) -> ! {
    let package = match program {
        "ip" => "iproute2",
        "iptables-legacy"
        | "iptables-nft"
        | "iptables-legacy-restore"
        | "iptables-nft-restore"
        | "iptables-legacy-save"
        | "iptables-nft-save" => "iptables",
        "nft" => "nftables",
        _ => "util-linux",
    };
    assert!(
        error.kind() != ErrorKind::NotFound,
        "{program} is missing: apt-get install {package}"
    );
    panic!("{program}: {error}");
}
