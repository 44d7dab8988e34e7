//! The proxy under the seccomp profile that the project ships for it.

use contract::container::{PROXY, PROXY_INIT};
use e2e::{Container, Namespace, Pod, claims, plain_proxy, redirect, seccomp_profile};
use serde_json::{Value, json};

/// The profile kills the proxy at any other system call: while it serves a token, an error and a
/// relayed request, and while it ends.
#[tokio::test]
async fn the_seccomp_profile_allows_every_system_call_of_the_proxy() {
    let profile = include_str!("../../../../deploy/seccomp/proxy.json");
    let mut profile: Value = serde_json::from_str(profile).expect("it is JSON");
    profile["defaultAction"] = json!("SCMP_ACT_KILL_PROCESS");
    profile
        .as_object_mut()
        .map(|it| it.remove("defaultErrnoRet"));
    let profile = seccomp_profile("proxy-or-death", &profile);

    let (namespace, identity) = Namespace::with_identity("calls").await;
    let pod = Pod::new("pod")
        .with_proxy()
        .init_container(redirect(PROXY_INIT))
        .container(Container::shell("app", "sleep infinity"))
        .container(plain_proxy(profile));
    namespace.apply(&pod.manifest()).await;
    let get = async |path: &str| {
        let url = format!("http://169.254.169.254/metadata/{path}");
        let line = format!(
            "curl --silent --retry 60 --retry-delay 1 --retry-connrefused --max-time 30 -H Metadata:true '{url}'"
        );
        namespace.exec("pod", "app", &line).await
    };
    let token = "identity/oauth2/token?api-version=2018-02-01&resource";
    for _ in 0..2 {
        let answer = get(&format!("{token}=https://vault.azure.net")).await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    }
    let answer = get(&format!("{token}=https://unknown.example.com")).await;
    assert!(answer.contains("AADSTS500011"), "{answer}");
    let answer = get("instance?api-version=2021-02-01").await;
    assert!(answer.contains("compute"), "{answer}");

    // The second signal ends it at once.
    for _ in 0..2 {
        let restarts = namespace.signal("pod", PROXY, "SIGTERM").await;
        assert_eq!(restarts, 0, "a system call ended it");
    }
    let code = namespace.container_ended("pod", PROXY).await;
    assert_eq!(code, 0, "{}", namespace.log("pod", PROXY).await);
}
