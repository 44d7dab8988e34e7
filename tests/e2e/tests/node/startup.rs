//! What a pod gets before its application starts, on request: tokens, and a proof that its identity works.

use azure_emulator::{ConnectionFault, Rule};
use contract::annotation::{PROXY_PREFETCH, PROXY_VERIFY};
use contract::container::PROXY;
use e2e::{Container, Namespace, Pod, claims, control, kubectl};
use k8s_openapi::api::core::v1;

const VAULT: &str = "https://vault.azure.net";

#[tokio::test]
async fn the_first_request_of_an_application_is_answered_from_memory() {
    let (namespace, identity) = Namespace::with_identity("prefetch").await;
    for (name, mode) in [("redirect", "redirect"), ("environment", "environment")] {
        let endpoint = match mode {
            "redirect" => "http://169.254.169.254",
            _ => "$AZURE_POD_IDENTITY_AUTHORITY_HOST",
        };
        let ask = format!(
            "curl --silent --show-error --fail-with-body --max-time 30 -H Metadata:true \
             \"{endpoint}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={VAULT}\""
        );
        let pod = Pod::new(name)
            .with_proxy()
            .annotate("azure.workload.identity/proxy-mode", mode)
            .annotate(PROXY_PREFETCH, VAULT)
            .annotate(PROXY_VERIFY, "enforce")
            .container(Container::shell("app", &ask));
        namespace.run_to_success(&pod).await;
        let answer = namespace.log(name, "app").await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
        let log = namespace.log(name, PROXY).await;
        assert!(
            log.contains("fetching a token before the application starts"),
            "{log}"
        );
        assert!(!log.contains("received token request"), "{log}");
    }
}

#[tokio::test]
async fn a_wrong_client_id_keeps_an_application_from_starting_and_the_pod_says_why() {
    let namespace = Namespace::new("wrong").await;
    namespace
        .service_account("app", "00000000-dead-4000-8000-000000000000")
        .await;
    let app = Container::shell("app", "echo I am the application; sleep infinity");
    let pod = Pod::new("enforced")
        .with_proxy()
        .annotate(PROXY_VERIFY, "enforce")
        .container(app.clone());
    namespace.apply(&pod.manifest()).await;
    let warned = Pod::new("warned")
        .with_proxy()
        .annotate(PROXY_VERIFY, "warn")
        .container(app);
    namespace.apply(&warned.manifest()).await;

    namespace.exec("warned", "app", "true").await;
    let log = namespace.log("warned", PROXY).await;
    assert!(
        log.contains("the application starts without a token"),
        "{log}"
    );
    assert!(log.contains("AADSTS700016"), "{log}");

    // The kubelet restarts the proxy, later each time.
    let restarted = namespace.until("enforced", |pod| restarts(pod) >= 2).await;
    let (code, message) = last_end(&restarted).expect("the proxy has ended");
    assert_eq!(code, 77, "{message}");
    for part in [
        "annotation azure.workload.identity/proxy-verify",
        "AADSTS700016",
        "To fix: ",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let described = kubectl(&["describe", "pod", "-n", namespace.name(), "enforced"]).await;
    assert!(
        described.contains("the application does not start, because annotation"),
        "{described}"
    );
    assert!(started_at(&restarted, "app").is_none(), "{described}");
}

#[tokio::test]
async fn a_credential_that_propagates_delays_the_application_and_fails_nothing() {
    let (namespace, identity) = Namespace::with_identity("propagates").await;
    // More than one exchange tries.
    let refusals = Rule {
        client_id: Some(identity.client_id.clone()),
        times: Some(6),
        aadsts: Some(700_213),
        ..Rule::default()
    };
    control()
        .add_rule(&refusals)
        .await
        .expect("the rule is valid");
    let pod = Pod::new("pod")
        .with_proxy()
        .annotate(PROXY_PREFETCH, VAULT)
        .annotate(PROXY_VERIFY, "enforce")
        .container(Container::asking_imds("app"));
    let finished = namespace.run(&pod).await;
    let log = namespace.log("pod", PROXY).await;
    assert_eq!(finished.phase, "Succeeded", "{log}");
    assert_eq!(restarts(&finished.pod), 0, "{log}");
    assert_eq!(log.matches("AADSTS700213").count(), 6, "{log}");
}

#[tokio::test]
async fn an_application_starts_once_entra_is_back() {
    let (namespace, identity) = Namespace::with_identity("back").await;
    let down = Rule {
        client_id: Some(identity.client_id.clone()),
        connection: Some(ConnectionFault::Reset),
        ..Rule::default()
    };
    let down = control().add_rule(&down).await.expect("the rule is valid");
    let pod = Pod::new("pod")
        .with_proxy()
        .annotate(PROXY_VERIFY, "enforce")
        .container(Container::asking_imds("app"));
    namespace.apply(&pod.manifest()).await;
    let ended = namespace.until("pod", |pod| last_end(pod).is_some()).await;
    let (code, message) = last_end(&ended).expect("it was waited for");
    assert_eq!(code, 77, "{message}");
    assert!(
        message.contains("the authority cannot be reached"),
        "{message}"
    );
    control()
        .remove_rule(down)
        .await
        .expect("the rule is there");
    assert_eq!(namespace.container_ended("pod", "app").await, 0);
}

fn status<'a>(pod: &'a v1::Pod, container: &str) -> Option<&'a v1::ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|it| it.name == container)
}

fn restarts(pod: &v1::Pod) -> i32 {
    status(pod, PROXY).map_or(0, |it| it.restart_count)
}

/// The exit code and the message of the proxy's last end.
fn last_end(pod: &v1::Pod) -> Option<(i32, String)> {
    let status = status(pod, PROXY)?;
    let states = [&status.state, &status.last_state];
    let mut ends = states
        .into_iter()
        .flatten()
        .filter_map(|it| it.terminated.as_ref());
    let end = ends.next()?;
    Some((end.exit_code, end.message.clone().unwrap_or_default()))
}

fn started_at<'a>(pod: &'a v1::Pod, container: &str) -> Option<&'a str> {
    status(pod, container)?.container_id.as_deref()
}
