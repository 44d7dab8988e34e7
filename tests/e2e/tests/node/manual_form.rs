//! The containers of Microsoft's migration guide, written by the user under other names.

use e2e::{Container, Namespace, PROXY_IMAGE, Pod, claims};
use serde_json::json;

const CURL: &str = "until curl --silent --fail --max-time 30 -H Metadata:true \
    'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'; do :; done";

#[tokio::test]
async fn the_users_own_containers_serve_tokens() {
    let (namespace, identity) = Namespace::with_identity("manual").await;
    let init = Container::image("init-networking", PROXY_IMAGE)
        .field("command", json!(["/proxy-init"]))
        .field(
            "securityContext",
            json!({ "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] }, "privileged": true, "runAsUser": 0 }),
        )
        .env("PROXY_PORT", "8000");
    let proxy = Container::image("proxy", PROXY_IMAGE)
        .field("ports", json!([{ "containerPort": 8000 }]))
        .env(contract::variable::CA_DATA, &azure_ca());
    let pod = Pod::new("manual")
        .init_container(init)
        .container(Container::shell("app", CURL))
        .container(proxy);

    namespace.apply(&pod.manifest()).await;
    namespace
        .until(pod.name(), |pod| {
            let statuses = pod
                .status
                .as_ref()
                .and_then(|status| status.container_statuses.as_ref());
            statuses.into_iter().flatten().any(|status| {
                let terminated = status
                    .state
                    .as_ref()
                    .and_then(|state| state.terminated.as_ref());
                status.name == "app" && terminated.is_some_and(|ended| ended.exit_code == 0)
            })
        })
        .await;
    let answer = namespace.log(pod.name(), "app").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    let log = namespace.log(pod.name(), "proxy").await;
    for message in [
        "starting the proxy server",
        "received token request",
        "successfully acquired token",
    ] {
        assert!(log.contains(message), "{message:?} is missing in {log}");
    }
}

fn azure_ca() -> String {
    let path = std::env::var("AZURE_CA_FILE").expect("the test node sets AZURE_CA_FILE");
    std::fs::read_to_string(path).expect("Azure's CA can be read")
}
