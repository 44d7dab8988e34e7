//! Token requests by curl, from every kind of container.

use azure_emulator::NODE_CLIENT_ID;
use e2e::{ASK_IMDS, Container, Namespace, Pod, claims};
use serde_json::json;

#[tokio::test]
async fn init_containers_and_containers_get_the_workloads_token() {
    let (namespace, identity) = Namespace::with_identity("curl").await;
    let pod = Pod::new("curl")
        .with_proxy()
        .init_container(Container::shell("early", ASK_IMDS))
        .container(Container::shell("late", ASK_IMDS));
    namespace.run_to_success(&pod).await;

    for container in ["early", "late"] {
        let answer = namespace.log(pod.name(), container).await;
        assert_eq!(
            claims(&answer)["appid"],
            identity.client_id,
            "{container}: {answer}"
        );
        assert_eq!(
            claims(&answer)["aud"],
            "https://vault.azure.net",
            "{container}"
        );
    }
}

#[tokio::test]
async fn without_the_annotation_the_nodes_imds_answers() {
    let (namespace, _) = Namespace::with_identity("node").await;
    let pod = Pod::new("curl").container(Container::shell("curl", ASK_IMDS));
    namespace.run_to_success(&pod).await;
    let answer = namespace.log(pod.name(), "curl").await;
    assert_eq!(claims(&answer)["appid"], NODE_CLIENT_ID, "{answer}");
}

/// Kubernetes' default capabilities let a container that runs as root become any user.
#[tokio::test]
async fn a_root_container_that_becomes_the_proxys_user_gets_the_workloads_token() {
    let (namespace, identity) = Namespace::with_identity("proxys-user").await;
    let ask = format!("setpriv --reuid=1501 --regid=1501 --clear-groups {ASK_IMDS}");
    let root = json!({ "runAsUser": 0 });
    let pod = Pod::new("proxys-user")
        .with_proxy()
        .container(Container::shell("ask", &ask).field("securityContext", root));
    namespace.run_to_success(&pod).await;
    let answer = namespace.log(pod.name(), "ask").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
}

#[tokio::test]
async fn no_identity_path_reaches_the_nodes_imds() {
    let (namespace, _) = Namespace::with_identity("paths").await;
    let ask = r#"
        for path in '/metadata/identity/info' '/metadata/identity%5coauth2%5ctoken' \
            '/metadata//identity/oauth2/token' '/metadata/Identity/oauth2/token' \
            '/metadata/x/../identity/oauth2/token' '/metadata/identity\oauth2\token' \
            '/metadata/identity/getplatformmetadata' '/METADATA/%69dentity/oauth2/token'; do
            curl --silent --path-as-is --globoff --max-time 30 -H Metadata:true \
                "http://169.254.169.254$path?api-version=2018-02-01&resource=https://vault.azure.net"
            echo
        done
        echo instance: "$(curl --silent -H Metadata:true 'http://169.254.169.254/metadata/instance?api-version=2021-02-01')"
    "#;
    let pod = Pod::new("paths")
        .with_proxy()
        .container(Container::shell("ask", ask));
    namespace.run_to_success(&pod).await;
    let log = namespace.log(pod.name(), "ask").await;
    let (identity, instance) = log
        .split_once("instance:")
        .expect("the script ends with the instance");
    assert!(!identity.contains(NODE_CLIENT_ID), "{identity}");
    assert!(!identity.contains("access_token"), "{identity}");
    assert!(
        instance.contains("compute"),
        "/metadata/instance is relayed: {instance}"
    );
}

#[tokio::test]
async fn a_restarted_proxy_still_gets_the_requests() {
    let (namespace, identity) = Namespace::with_identity("restart").await;
    let ask =
        format!("while ! [ -e /signal/restarted ]; do {ASK_IMDS} || :; echo; done; {ASK_IMDS}");
    let pod = Pod::new("restart")
        .with_proxy()
        .volume(json!({ "name": "signal", "emptyDir": {} }))
        .container(Container::shell("ask", &ask).writable_mount("signal", "/signal"));
    namespace.apply(&pod.manifest()).await;

    namespace.kill(pod.name(), "azwi-proxy").await;
    namespace
        .exec(pod.name(), "ask", "touch /signal/restarted")
        .await;
    let finished = namespace.finished(pod.name()).await;
    assert_eq!(finished.phase, "Succeeded");
    let answers = namespace.log(pod.name(), "ask").await;
    for answer in answers.lines().filter(|line| line.starts_with('{')) {
        assert_eq!(claims(answer)["appid"], identity.client_id, "{answer}");
    }
}
