//! The node from a user's view: exit codes, error messages, and that nothing is left on the machine.

#[cfg(test)]
mod harness;

use harness::{Machine, NAMESPACES, cluster, finish, fixture, image, runs, start};
use nix::sys::signal::Signal;

const START_A_POD: &str = "
kubectl run pod --image registry.example.com/cluster/pause:v1 >&2
kubectl wait --for condition=Ready pod/pod --timeout 60s >&2
";

#[test]
fn a_run_returns_the_commands_exit_code_and_leaves_nothing() {
    let before = Machine::now();
    let mut node = start(&format!("{NAMESPACES}{START_A_POD} exit 7"));
    let namespaces = node.lines(3);
    assert_eq!(node.wait().code(), Some(7));
    before.assert_nothing_is_left(node.id(), &namespaces);
}

#[test]
fn a_terminated_run_leaves_nothing() {
    let before = Machine::now();
    let mut node = start(&format!("{NAMESPACES}{START_A_POD} echo up; cat"));
    let namespaces = node.lines(3);
    assert_eq!(node.lines(1), ["up"]);
    node.signal(Signal::SIGTERM);
    assert_eq!(node.wait().code(), Some(128 + Signal::SIGTERM as i32));
    before.assert_nothing_is_left(node.id(), &namespaces);
}

#[test]
fn a_killed_run_leaves_nothing() {
    let before = Machine::now();
    let mut node = start(&format!("{NAMESPACES}{START_A_POD} echo up; cat"));
    let namespaces = node.lines(3);
    assert_eq!(node.lines(1), ["up"]);
    node.signal(Signal::SIGKILL);
    node.wait();
    before.assert_nothing_is_left(node.id(), &namespaces);
}

#[test]
fn two_nodes_run_in_parallel() {
    let mut one = start("echo up; cat; kubectl get node node -o name");
    assert_eq!(one.lines(1), ["up"]);
    let mut other = start(&format!("{START_A_POD} kubectl get pod pod -o name"));
    assert_eq!(other.lines(1), ["pod/pod"]);
    assert!(other.wait().success());
    one.close_input();
    assert_eq!(one.lines(1), ["node/node"]);
    assert!(one.wait().success());
}

#[test]
fn reports_a_component_that_fails_at_the_start_with_the_end_of_its_log() {
    let mut failing = cluster();
    failing.args([
        "run",
        "--azure-emulator",
        &fixture("failing-emulator"),
        "--",
        "true",
    ]);
    let output = finish(failing);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{errors}");
    assert!(
        errors.contains("azure-emulator ended with exit status: 3"),
        "{errors}"
    );
    assert!(errors.contains("\n  | line 11\n"), "{errors}");
    assert!(errors.contains("\n  | line 40\n"), "{errors}");
    assert!(!errors.contains("| line 10\n"), "{errors}");
}

#[test]
fn a_component_that_fails_later_ends_the_run() {
    let output = finish(runs("kill -9 $(pidof etcd); cat"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{errors}");
    assert!(errors.contains("etcd ended with signal: 9"), "{errors}");
}

#[test]
fn restarts_a_component_that_ends_after_a_signal() {
    let mut node = start(
        "before=$(pidof kube-apiserver)
         kill $before
         tail --pid $before --follow /dev/null
         until kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.1; done
         [ $(pidof kube-apiserver) != $before ]
         kubectl get node node --output name",
    );
    assert_eq!(node.lines(1), ["node/node"]);
    assert!(node.wait().success());
}

#[test]
fn an_image_gets_the_name_in_its_archive() {
    let name = "registry.example.com/cluster/another:v2";
    let archive = image(name);
    let mut run = cluster();
    run.args([
        "run",
        "--azure-emulator",
        &fixture("stand-in-emulator"),
        "--image",
        &archive,
    ]);
    run.args(["--", "sh", "-c"]).arg(format!(
        "kubectl run pod --image {name} >&2
         kubectl wait --for condition=Ready pod/pod --timeout 60s >&2"
    ));
    let output = finish(run);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn reports_how_to_build_a_missing_emulator() {
    let mut run = cluster();
    run.args(["run", "--azure-emulator", "/nonexistent", "--", "true"]);
    let output = finish(run);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{errors}");
    assert!(errors.contains("cargo build -p azure-emulator"), "{errors}");
}

#[test]
fn everyone_may_read_the_keys_of_tokens() {
    let mut node = start(
        "curl --silent --fail --cacert $CLUSTER_API_CA https://192.0.2.10:6443/openid/v1/jwks \
         | tr -d ' \\n'; echo",
    );
    let keys = node.lines(1).concat();
    assert!(node.wait().success());
    assert!(keys.contains(r#""kty":"RSA""#), "{keys}");
}

#[test]
fn azures_names_have_an_ipv4_address_and_no_other_name_exists() {
    let names = "login.microsoftonline.com my.vault.azure.net management.azure.com example.com";
    let mut node = start(&format!("{} {names}", fixture("ask-name-server")));
    let answers = node.lines(4);
    assert!(node.wait().success());
    assert_eq!(
        answers,
        [
            "login.microsoftonline.com 0 1 0 0",
            "my.vault.azure.net 0 1 0 0",
            "management.azure.com 0 1 0 0",
            "example.com 3 0 3 0"
        ]
    );
}
