//! One of the webhook's replicas fails. The API server may refuse pods for a moment, and their
//! controllers create them again. No pod is admitted without its identity.

use e2e::authority::{bundle, certificates, connect};
use e2e::{Load, Namespace, Tally, container_id, metrics, replicas, task, until};
use k8s_openapi::api::core::v1;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{alone, assert_all_is_well, is_long};

fn name(replica: &v1::Pod) -> String {
    replica.metadata.name.clone().expect("a pod has a name")
}

fn restarts(replica: &v1::Pod) -> i32 {
    let statuses = replica.status.iter();
    let mut statuses = statuses.flat_map(|it| it.container_statuses.iter().flatten());
    statuses.next().map_or(0, |it| it.restart_count)
}

fn is_ready(replica: &v1::Pod) -> bool {
    let conditions = replica.status.iter();
    let mut conditions = conditions.flat_map(|it| it.conditions.iter().flatten());
    conditions.any(|it| it.type_ == "Ready" && it.status == "True")
}

async fn replica(wanted: &str) -> v1::Pod {
    let all = replicas().await;
    let found = all.into_iter().find(|it| name(it) == wanted);
    found.expect("the replica is still there")
}

async fn until_ready(wanted: &str, readiness: bool) {
    let what = format!("{wanted} to be ready: {readiness}");
    let ask = async || is_ready(&replica(wanted).await);
    until(&what, ask, |is_ready| *is_ready == readiness).await;
}

/// Each refusal says that the API server could not call the webhook: a controller tries again then.
fn assert_refused_alone(tally: &Tally, reasons: &[&str]) {
    for failure in &tally.failures {
        assert!(failure.contains("failed calling webhook"), "{failure}");
        assert!(reasons.iter().any(|it| failure.contains(it)), "{failure}");
    }
    assert!(tally.injected > 0);
}

const BROKEN_OFF: [&str; 4] = [
    "EOF",
    "connection refused",
    "connection reset",
    "no endpoints",
];
const SILENT: [&str; 3] = ["deadline exceeded", "Timeout exceeded", "timeout"];

#[tokio::test]
async fn a_killed_replica_restarts_while_the_other_answers() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("killed").await;
    let victim = replicas().await.remove(0);
    let before = restarts(&victim);
    let load = Load::start(&namespace, 50).await;
    task::signal(&container_id(&victim), "SIGKILL").await;
    let ask = async || restarts(&replica(&name(&victim)).await);
    until("the kubelet to start it again", ask, |now| *now > before).await;
    until_ready(&name(&victim), true).await;
    assert_refused_alone(&load.stop().await, &BROKEN_OFF);
    assert_all_is_well(&namespace).await;
}

#[tokio::test]
async fn a_frozen_replica_gets_no_reviews_until_it_continues() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("frozen").await;
    let victim = replicas().await.remove(0);
    let (id, name) = (container_id(&victim), name(&victim));
    let load = Load::start(&namespace, 20).await;
    task::signal(&id, "SIGSTOP").await;
    until_ready(&name, false).await;
    assert_refused_alone(&load.stop().await, &SILENT);
    assert_all_is_well(&namespace).await;
    if is_long() {
        // Its liveness probe has failed six times, 20 s apart.
        let ask = async || restarts(&replica(&name).await);
        until("the kubelet to end it", ask, |now| *now > restarts(&victim)).await;
    } else {
        task::signal(&id, "SIGCONT").await;
    }
    until_ready(&name, true).await;
    assert_all_is_well(&namespace).await;
}

#[tokio::test]
async fn a_replica_without_network_gets_no_reviews_and_catches_up_afterwards() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("cut").await;
    let victim = replicas().await.remove(0);
    let (pid, name) = (task::pid(&container_id(&victim)).await, name(&victim));
    let accounts = async || metrics().await["azwi_service_accounts"];
    let known = accounts().await;
    let load = Load::start(&namespace, 20).await;
    in_network_of(
        pid,
        "nft add table inet cut; \
        nft 'add chain inet cut in { type filter hook input priority 0; policy drop; }'; \
        nft 'add chain inet cut out { type filter hook output priority 0; policy drop; }'",
    )
    .await;
    until_ready(&name, false).await;
    assert_refused_alone(&load.stop().await, &[&SILENT[..], &BROKEN_OFF[..]].concat());
    assert_all_is_well(&namespace).await;

    // The watch of the replica without network misses this account.
    let (missed, _) = Namespace::with_identity("missed").await;
    in_network_of(pid, "nft delete table inet cut").await;
    until_ready(&name, true).await;
    assert_all_is_well(&missed).await;
    // The metric is a sum over the replicas.
    until("both replicas to know", accounts, |now| *now >= known + 2.0).await;
}

async fn in_network_of(pid: u32, line: &str) {
    let status = Command::new("nsenter")
        .args(["--net", "--target", &pid.to_string()])
        .args(["sh", "-euc", line])
        .status()
        .await
        .expect("nsenter is on the test node");
    assert!(status.success(), "{line}");
}

/// The webhook writes to no disk, so a full disk costs at most log lines.
#[tokio::test]
async fn no_replica_has_a_file_open() {
    let _alone = alone().await;
    for replica in replicas().await {
        let pid = task::pid(&container_id(&replica)).await;
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
        for file in files.flatten() {
            let target = std::fs::read_link(file.path()).expect("it is open");
            let target = target.display().to_string();
            let kinds = ["socket:", "pipe:", "anon_inode:", "/dev/null"];
            assert!(
                kinds.iter().any(|kind| target.starts_with(kind)),
                "{target}"
            );
        }
    }
}

/// The kernel kills a replica whose limit is a little over what it uses.
#[tokio::test]
async fn a_replica_out_of_memory_restarts_while_the_other_answers() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("memory").await;
    let victim = replicas().await.remove(0);
    let before = restarts(&victim);
    limit_memory(task::pid(&container_id(&victim)).await);
    let load = Load::start(&namespace, 50).await;
    let held = send_large(&victim).await;
    let ask = async || restarts(&replica(&name(&victim)).await);
    until("the kernel to kill it", ask, |now| *now > before).await;
    drop(held);
    until_ready(&name(&victim), true).await;
    assert_refused_alone(&load.stop().await, &BROKEN_OFF);
    let reason = replica(&name(&victim)).await;
    let reason = reason
        .status
        .expect("a pod has a status")
        .container_statuses;
    let reason = reason.expect("it has containers").remove(0).last_state;
    let reason = reason.and_then(|it| it.terminated).and_then(|it| it.reason);
    assert_eq!(reason.as_deref(), Some("OOMKilled"));
    assert_all_is_well(&namespace).await;
}

/// Sends large reviews without their last bytes, as any client in the cluster's network can.
async fn send_large(replica: &v1::Pod) -> Vec<impl Sized> {
    let roots = certificates(&bundle().await);
    let head = "POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Content-Length: 7000000\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..4 {
        // The kernel may kill the replica at any of these steps.
        let Ok(mut stream) = connect(replica, &roots).await else {
            break;
        };
        let review = format!("{head}{}", " ".repeat(6_000_000));
        let _ = stream.write_all(review.as_bytes()).await;
        held.push(stream);
    }
    held
}

/// Limits the memory of a process's cgroup (version 1 or 2) to a MiB more than it uses now.
fn limit_memory(pid: u32) {
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
    let of_version_1 = cgroups
        .lines()
        .find(|line| line.contains(":memory:"))
        .and_then(path);
    let (folder, usage, limit) = match of_version_1 {
        Some(path) => (
            format!("/sys/fs/cgroup/memory{path}"),
            "memory.usage_in_bytes",
            "memory.limit_in_bytes",
        ),
        None => {
            let path = cgroups
                .lines()
                .next()
                .and_then(path)
                .expect("it is in a cgroup");
            (
                format!("/sys/fs/cgroup{path}"),
                "memory.current",
                "memory.max",
            )
        }
    };
    let used =
        std::fs::read_to_string(format!("{folder}/{usage}")).expect("the kernel reports the usage");
    let used: u64 = used.trim().parse().expect("it is a number");
    let wanted = (used + (1 << 20)).to_string();
    std::fs::write(format!("{folder}/{limit}"), wanted).expect("the tests run as root");
}
