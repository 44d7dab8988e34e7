//! proxy-init in pods: each failure keeps the pod from starting and tells why in `kubectl describe`,
//! and any number of runs in one pod is as good as one.

use std::fs;

use e2e::{Container, Namespace, PROXY_IMAGE, Pod, kubectl};
use serde_json::{Value, json};

/// Where the kubelet looks for seccomp profiles.
const SECCOMP: &str = "/run/cluster/kubelet/seccomp";

#[tokio::test]
async fn without_the_capability() {
    let context = json!({ "capabilities": { "drop": ["ALL"] }, "runAsUser": 0 });
    let told = failure(redirect("redirect").field("securityContext", context), 10).await;
    assert!(told.contains("NET_ADMIN"), "{told}");
}

#[tokio::test]
async fn with_wrong_configuration() {
    let init = redirect("redirect")
        .env("PROXY_PORT", "70000")
        .env("PROXY_UID", "root");
    let told = failure(init, 64).await;
    assert!(told.contains("PROXY_PORT=\"70000\""), "{told}");
    assert!(told.contains("PROXY_UID=\"root\""), "{told}");
}

#[tokio::test]
async fn with_the_port_in_the_hands_of_another() {
    let (namespace, _) = Namespace::with_identity("taken").await;
    let listen =
        "import socket\ns = socket.create_server(('127.0.0.1', 8000))\nwhile True: s.accept()";
    let holder = Container::new("holder", &["/usr/bin/python3", "-Ic", listen])
        .field("restartPolicy", json!("Always"))
        .field(
            "startupProbe",
            json!({ "exec": { "command": ["/usr/bin/bash", "-c", "</dev/tcp/127.0.0.1/8000"] }, "periodSeconds": 1, "failureThreshold": 60 }),
        );
    let pod = Pod::new("pod").init_container(holder);
    let told = failure_in(&namespace, pod, redirect("redirect"), 14).await;
    assert!(told.contains("8000"), "{told}");
}

#[tokio::test]
async fn with_a_seccomp_profile_that_refuses_netlink() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
            // AF_NETLINK
            "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }],
        }],
    });
    fs::create_dir_all(SECCOMP).expect("the test runs on the node");
    fs::write(format!("{SECCOMP}/no-netlink.json"), profile.to_string()).expect("as above");
    let mut context = security_context();
    context["seccompProfile"] =
        json!({ "type": "Localhost", "localhostProfile": "no-netlink.json" });
    let told = failure(redirect("redirect").field("securityContext", context), 15).await;
    assert!(told.contains("seccomp"), "{told}");
}

#[tokio::test]
async fn ten_times_and_again_in_the_living_pod() {
    let (namespace, identity) = Namespace::with_identity("ten").await;
    let mut pod = Pod::new("pod");
    for run in 0..10 {
        pod = pod.init_container(redirect(&format!("redirect-{run}")));
    }
    // The webhook's own comes first.
    let pod = pod
        .with_proxy()
        .container(Container::shell("app", "sleep infinity"));
    namespace.apply(&pod.manifest()).await;
    let token = "curl --silent --fail-with-body --max-time 30 -H Metadata:true \
        'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'";
    let answer = namespace.exec("pod", "app", token).await;
    assert_eq!(e2e::claims(&answer)["appid"], identity.client_id);
    assert_one_rule_set(&namespace).await;

    namespace.debug("pod", redirect("redirect-again")).await;
    let pod = namespace
        .until("pod", |pod| {
            let status = pod.status.as_ref();
            let debuggers = status.and_then(|status| status.ephemeral_container_statuses.as_ref());
            debuggers.into_iter().flatten().any(|debugger| {
                let state = debugger.state.as_ref();
                state.is_some_and(|state| state.terminated.is_some())
            })
        })
        .await;
    let described = serde_json::to_value(pod).expect("a pod is JSON");
    let state = &described["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"];
    assert_eq!(state["exitCode"], 0, "{state}");
    assert_one_rule_set(&namespace).await;
    let answer = namespace.exec("pod", "app", token).await;
    assert_eq!(e2e::claims(&answer)["appid"], identity.client_id);
}

/// The pod's network has one table of ours, with the two rules and the one of forwarded networks.
async fn assert_one_rule_set(namespace: &Namespace) {
    let pid = namespace.pid("pod", "app").await;
    let listed = tokio::process::Command::new("nsenter")
        .args([
            "--target", &pid, "--net", "nft", "--json", "list", "ruleset",
        ])
        .output()
        .await
        .expect("nsenter is on the test node");
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("nft prints JSON");
    let count = |kind: &str| {
        let objects = listed["nftables"].as_array().expect("a list");
        objects.iter().filter(|it| it.get(kind).is_some()).count()
    };
    assert_eq!(
        [count("table"), count("chain"), count("rule")],
        [1, 2, 3],
        "{listed}"
    );
}

/// A pod whose init container fails with this exit code: what `kubectl describe` says of it.
async fn failure(init: Container, code: i32) -> String {
    let (namespace, _) = Namespace::with_identity("init").await;
    failure_in(&namespace, Pod::new("pod"), init, code).await
}

async fn failure_in(namespace: &Namespace, pod: Pod, init: Container, code: i32) -> String {
    let pod = pod
        .init_container(init)
        .container(Container::shell("app", "echo it runs"));
    let finished = namespace.run(&pod).await;
    assert_eq!(finished.phase, "Failed");
    let pod = serde_json::to_value(&finished.pod).expect("a pod is JSON");
    let app = &pod["status"]["containerStatuses"][0];
    assert!(
        app["state"]["waiting"].is_object(),
        "the application never starts: {app}"
    );

    let described = kubectl(&["describe", "pod", "-n", namespace.name(), "pod"]).await;
    let (_, redirect) = described
        .split_once("\n  redirect:\n")
        .expect("it is described");
    let (redirect, _) = redirect
        .split_once("\nContainers:")
        .expect("the application follows");
    let told = redirect.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&format!("Exit Code: {code} ")), "{told}");
    assert!(told.contains(&format!("(exit code {code})")), "{told}");
    told
}

/// proxy-init with as little as it needs.
fn redirect(name: &str) -> Container {
    Container::image(name, PROXY_IMAGE)
        .field("command", json!(["/proxy-init"]))
        .field("securityContext", security_context())
}

fn security_context() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] },
        "readOnlyRootFilesystem": true,
        "runAsUser": 0,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}
