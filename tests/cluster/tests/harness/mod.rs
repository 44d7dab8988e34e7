//! Runs `cluster` as a user does, and checks what it left on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use cluster::prepare::Tools;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::poll;

/// Prints the command's namespaces, a line each.
pub(crate) const NAMESPACES: &str =
    "for kind in mnt net pid; do readlink /proc/self/ns/$kind; done;";

/// The deadline of each wait. A node needs some 6 s to start on an idle machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// Folders that a node might leave.
const PLACES: [&str; 7] = [
    "/opt/containerd",
    "/run/cluster",
    "/run/containerd",
    "/run/netns",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// Settings that the kubelet changes.
const SETTINGS: [&str; 6] = [
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
];

/// The program, after `cluster prepare`, which may take minutes the first time.
pub(crate) fn cluster() -> Command {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let status = Command::new(env!("CARGO_BIN_EXE_cluster"))
            .arg("prepare")
            .status();
        assert!(status.expect("cluster starts").success());
    });
    Command::new(env!("CARGO_BIN_EXE_cluster"))
}

/// A run of a shell script.
pub(crate) fn runs(script: &str) -> Command {
    let mut command = cluster();
    command
        .args([
            "run",
            "--azure-emulator",
            &fixture("stand-in-emulator"),
            "--",
            "sh",
            "-ec",
            script,
        ])
        .stdin(Stdio::piped());
    command
}

/// Builds an image of the sandbox's program with this name, and returns its archive.
pub(crate) fn image(name: &str) -> String {
    let pause = Tools::locate("1.37")
        .expect("a cache folder")
        .pause
        .with_file_name("pause");
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/image");
    let script = format!(
        "rm -rf {folder} && mkdir {folder} && cd {folder} && cp {} . &&
         printf 'FROM scratch\\nCOPY pause /pause\\nENTRYPOINT [\"/pause\"]\\n' >Dockerfile &&
         buildah='buildah --storage-driver vfs --root storage --runroot run' &&
         $buildah build --isolation chroot --tag {name} . &&
         $buildah push {name} oci-archive:image.tar:{name}",
        pause.display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("sh starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    format!("{folder}/image.tar")
}

/// A file beside these tests.
pub(crate) fn fixture(name: &str) -> String {
    format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command) -> Output {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().expect("cluster starts");
    // Standard input stays open, so that a script that reads it waits.
    let _input = child.stdin.take();
    child.wait_with_output().expect("cluster can be waited for")
}

/// Starts a run of a shell script.
pub(crate) fn start(script: &str) -> Node {
    let mut child = runs(script)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cluster starts");
    let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    let (sender, lines) = channel();
    thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    Node { child, lines }
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Node {
    /// The id of the started process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next lines that the script prints.
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| self.lines.recv_timeout(DEADLINE).expect("a line"))
            .collect()
    }

    /// Sends a signal to the started process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).expect("it lives");
    }

    /// Closes the script's standard input.
    pub(crate) fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until every process of the run has closed its output, then for the started process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert_eq!(
            self.lines.recv_timeout(DEADLINE),
            Err(RecvTimeoutError::Disconnected)
        );
        self.child.wait().expect("it can be waited for")
    }
}

/// The parts of the machine's state that a run could change.
pub(crate) struct Machine {
    places: Vec<bool>,
    settings: Vec<String>,
}

impl Machine {
    /// The current state.
    pub(crate) fn now() -> Self {
        Self {
            places: PLACES.iter().map(|path| Path::new(path).exists()).collect(),
            settings: SETTINGS
                .iter()
                .map(|path| fs::read_to_string(path).expect("a setting can be read"))
                .collect(),
        }
    }

    /// Asserts that the state is unchanged, and that no process, namespace, mount or cgroup of the run is
    /// left.
    pub(crate) fn assert_nothing_is_left(&self, id: u32, namespaces: &[String]) {
        let now = Self::now();
        assert_eq!(self.places, now.places, "one of {PLACES:?} appeared");
        assert_eq!(self.settings, now.settings, "one of {SETTINGS:?} changed");
        // The last process closes its output before it leaves its namespaces. The kernel gives the
        // numbers of namespaces that are gone to new ones; those end as well.
        let left = || {
            let mut living = living_namespaces();
            living.retain(|it| namespaces.contains(it));
            living
        };
        poll::blocking(DEADLINE, "the namespaces to end", left, BTreeSet::is_empty)
            .expect("no process is left");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts can be read");
        assert!(
            !mounts.contains("/run/cluster"),
            "a mount is left:\n{mounts}"
        );
        assert_eq!(cgroups(&format!("cluster-{id}-")), BTreeSet::new());
    }
}

/// The namespaces of every process.
fn living_namespaces() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").expect("/proc is there").flatten();
    processes
        .flat_map(|process| ["mnt", "net", "pid"].map(|kind| process.path().join("ns").join(kind)))
        .filter_map(|link| Some(fs::read_link(link).ok()?.to_string_lossy().into_owned()))
        .collect()
}

/// The cgroups whose name starts so, in every hierarchy.
fn cgroups(prefix: &str) -> BTreeSet<String> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let root = Path::new("/sys/fs/cgroup");
    entries(root)
        .flat_map(|hierarchy| entries(&hierarchy.path()))
        .chain(entries(root))
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().display().to_string())
        .collect()
}
