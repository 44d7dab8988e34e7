//! Running containers, seen through containerd.

use tokio::process::Command;

/// Sends a signal to the first process of a container.
///
/// # Panics
///
/// When containerd does not know the container.
pub async fn signal(id: &str, signal: &str) {
    let sent = Command::new("ctr")
        .args(["--namespace", "k8s.io", "tasks", "kill", "--signal"])
        .args([signal, id])
        .status()
        .await
        .expect("ctr is on the test node");
    assert!(sent.success(), "ctr could not send {signal} to {id}");
}

/// The process id of a running container, on the node.
///
/// # Panics
///
/// When containerd does not know the container.
pub async fn pid(id: &str) -> u32 {
    let tasks = Command::new("ctr")
        .args(["--namespace", "k8s.io", "tasks", "list"])
        .output()
        .await
        .expect("ctr is on the test node");
    let tasks = String::from_utf8_lossy(&tasks.stdout);
    let task = tasks.lines().find_map(|line| line.strip_prefix(id));
    let pid = task.and_then(|line| line.split_whitespace().next());
    let pid = pid.expect("containerd knows the container");
    pid.parse().expect("a process id is a number")
}
