//! proxy-init in pods: each failure keeps the pod from starting and shows its reason in `kubectl
//! describe`; several runs in one pod have the same effect as one.

use contract::container::PROXY_INIT;
use e2e::{
    Container, Namespace, Pod, in_plain_form, kubectl, redirect, redirect_rights, seccomp_profile,
};
use serde_json::{Value, json};

/// The image that the script `own-image` builds.
const OWN_IMAGE: &str = "registry.example.com/own/proxy-init:v1";

const AF_NETLINK: u32 = 16;
const NETLINK_NETFILTER: u32 = 12;
const SOCK_RAW: u32 = 3;
const SOCK_CLOEXEC: u32 = 0o2_000_000;
const EPERM: u8 = 1;
const EPROTONOSUPPORT: u8 = 93;

#[tokio::test]
async fn fails_without_the_capability() {
    let context = json!({ "capabilities": { "drop": ["ALL"] }, "runAsUser": 0 });
    let described = failure(redirect("redirect").field("securityContext", context), 10).await;
    assert!(described.contains("NET_ADMIN"), "{described}");
}

#[tokio::test]
async fn fails_with_a_wrong_configuration() {
    let init = redirect("redirect")
        .env("PROXY_PORT", "70000")
        .env("PROXY_UID", "root");
    let described = failure(init, 64).await;
    assert!(described.contains("PROXY_PORT=\"70000\""), "{described}");
    assert!(described.contains("PROXY_UID=\"root\""), "{described}");
}

#[tokio::test]
async fn fails_when_another_process_has_the_port() {
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
    let described = failure_in(&namespace, pod, redirect("redirect"), 14).await;
    assert!(described.contains("8000"), "{described}");
}

#[tokio::test]
async fn fails_when_a_seccomp_profile_refuses_netlink() {
    let mut context = redirect_rights();
    let netlink = json!([{ "index": 0, "value": AF_NETLINK, "op": "SCMP_CMP_EQ" }]);
    context["seccompProfile"] = refusing_sockets("no-netlink", EPERM, netlink);
    let described = failure(redirect("redirect").field("securityContext", context), 15).await;
    assert!(described.contains("seccomp"), "{described}");
}

#[tokio::test]
async fn fails_without_nf_tables() {
    let mut context = redirect_rights();
    context["seccompProfile"] = without_netfilter();
    let init = redirect("redirect").field("securityContext", context.clone());
    let described = failure(init, 11).await;
    assert!(described.contains("modules nf_tables"), "{described}");

    // Legacy iptables lacks NET_RAW, and nft iptables lacks netlink.
    let init = Container::image("redirect", OWN_IMAGE).field("securityContext", context);
    let described = failure(init, 18).await;
    assert!(
        described.contains("needs the capability NET_RAW"),
        "{described}"
    );
}

#[tokio::test]
async fn fails_when_another_table_redirects_first() {
    let rules = "add table ip other
        add chain ip other output { type nat hook output priority -150; }
        add rule ip other output ip daddr 169.254.169.254 dnat to 169.254.169.254";
    let other = Container::shell("other", &format!("/usr/sbin/nft '{rules}'"));
    let pod = Pod::new("pod").init_container(other.field("securityContext", redirect_rights()));
    let (namespace, _) = Namespace::with_identity("other").await;
    let described = failure_in(&namespace, pod, redirect("redirect"), 16).await;
    assert!(described.contains("nft list ruleset"), "{described}");
}

#[tokio::test]
async fn uses_the_images_legacy_iptables_on_a_kernel_without_nf_tables() {
    let mut context = redirect_rights();
    context["capabilities"]["add"] = json!(["NET_ADMIN", "NET_RAW"]);
    context["seccompProfile"] = without_netfilter();
    let described = serves_with(context).await;
    assert!(
        described.contains("written with iptables-legacy because the kernel lacks nf_tables"),
        "{described}"
    );
}

#[tokio::test]
async fn uses_the_images_nft_iptables_on_a_kernel_with_half_of_nf_tables() {
    let mut context = redirect_rights();
    // proxy-init's socket is close-on-exec, those of iptables are not: the profile allows these alone.
    context["seccompProfile"] = refusing_sockets(
        "netfilter-for-iptables",
        EPROTONOSUPPORT,
        json!([
            { "index": 0, "value": AF_NETLINK, "op": "SCMP_CMP_EQ" },
            { "index": 1, "value": SOCK_RAW | SOCK_CLOEXEC, "op": "SCMP_CMP_EQ" },
            { "index": 2, "value": NETLINK_NETFILTER, "op": "SCMP_CMP_EQ" },
        ]),
    );
    // Without NET_RAW, legacy iptables fails first.
    let described = serves_with(context).await;
    assert!(
        described.contains("written with iptables-nft because the kernel lacks nf_tables"),
        "{described}"
    );
}

#[tokio::test]
async fn runs_as_any_user_with_the_capability_on_the_file() {
    let mut context = redirect_rights();
    context["runAsUser"] = json!(65532);
    context["runAsNonRoot"] = json!(true);
    context["allowPrivilegeEscalation"] = json!(true);
    let described = serves_with(context).await;
    assert!(described.contains("written with nf_tables"), "{described}");
}

/// Runs a pod whose redirect comes from the user's own image with this security context, asserts that
/// it gets its token, and returns the redirect's log.
async fn serves_with(context: Value) -> String {
    let (namespace, identity) = Namespace::with_identity("own").await;
    let init = Container::image(PROXY_INIT, OWN_IMAGE).field("securityContext", context);
    let pod = in_plain_form(Pod::new("pod"), init).container(Container::asking_imds("app"));
    namespace.apply(&pod.manifest()).await;
    let ended = namespace.container_ended("pod", "app").await;
    let answer = namespace.log("pod", "app").await;
    assert_eq!(ended, 0, "{answer}");
    assert_eq!(e2e::claims(&answer)["appid"], identity.client_id);
    namespace.log("pod", PROXY_INIT).await
}

#[tokio::test]
async fn repeated_runs_leave_one_rule_set() {
    let (namespace, identity) = Namespace::with_identity("ten").await;
    let mut pod = Pod::new("pod");
    for run in 0..10 {
        pod = pod.init_container(redirect(&format!("redirect-{run}")));
    }
    // The webhook's own redirect comes first.
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

/// Asserts that the pod's network has our table once: two rules that redirect the pod's requests, one for forwarded
/// networks, and the two of the guard.
async fn assert_one_rule_set(namespace: &Namespace) {
    let pid = namespace.pid("pod", "app").await.to_string();
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
        [1, 3, 5],
        "{listed}"
    );
}

/// Runs a pod whose init container fails with this exit code, and returns its description by
/// `kubectl describe`.
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
        .expect("the init container is described");
    let (redirect, _) = redirect
        .split_once("\nContainers:")
        .expect("the application follows");
    let described = redirect.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        described.contains(&format!("Exit Code: {code} ")),
        "{described}"
    );
    assert!(
        described.contains(&format!("(exit code {code})")),
        "{described}"
    );
    described
}

/// A seccomp profile that refuses these sockets with this error number.
fn refusing_sockets(name: &str, errno: u8, arguments: Value) -> Value {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": arguments,
        }],
    });
    seccomp_profile(name, &profile)
}

/// A seccomp profile that answers as a kernel without nf_tables does.
fn without_netfilter() -> Value {
    refusing_sockets(
        "no-netfilter",
        EPROTONOSUPPORT,
        json!([
            { "index": 0, "value": AF_NETLINK, "op": "SCMP_CMP_EQ" },
            { "index": 2, "value": NETLINK_NETFILTER, "op": "SCMP_CMP_EQ" },
        ]),
    )
}
