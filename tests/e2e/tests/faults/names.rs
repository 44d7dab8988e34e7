//! The name server and Entra are down, and come back.

use azure_emulator::Socket;
use e2e::{Container, Namespace, Pod, claims, control};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::alone;

/// The name server's address; nothing listens there at first.
const SERVER: &str = "198.51.100.53";
const ASK: &str = "ask() { curl --silent --max-time 30 -H Metadata:true \
    \"http://169.254.169.254/metadata/identity/oauth2/token?resource=$1\"; echo; }";

async fn run(line: &str) {
    let status = Command::new("sh").args(["-euc", line]).status().await;
    assert!(status.expect("sh starts").success(), "{line}");
}

/// Starts a name server for the emulated Azure, as the node's own.
fn name_server() -> Child {
    Command::new("dnsmasq")
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--pid-file=",
        ])
        .args([
            "--user=root",
            "--bind-interfaces",
            "--no-hosts",
            "--no-resolv",
            "--local=/#/",
        ])
        .arg(format!("--listen-address={SERVER}"))
        .arg("--address=/login.microsoftonline.com/198.51.100.10")
        .arg("--local=/login.microsoftonline.com/")
        .kill_on_drop(true)
        .spawn()
        .expect("dnsmasq is on the test node")
}

#[tokio::test]
async fn reports_unresolvable_names_and_recovers() {
    let _alone = alone().await;
    let (namespace, identity) = Namespace::with_identity("names").await;
    run(&format!("ip address replace {SERVER}/32 dev lo")).await;
    let ask = format!(
        "{ASK}; ask https://vault.azure.net; until [ -e /signal/go ]; do sleep 0.1; done; \
        until ask https://vault.azure.net | tee /tmp/answer | grep -q access_token; do sleep 0.2; done; \
        cat /tmp/answer"
    );
    let pod = Pod::new("app")
        .with_proxy()
        .field("dnsPolicy", json!("None"))
        .field(
            "dnsConfig",
            json!({ "nameservers": [SERVER], "options": [{ "name": "timeout", "value": "1" }] }),
        )
        .volume(json!({ "name": "signal", "emptyDir": {} }))
        .volume(json!({ "name": "temporary", "emptyDir": {} }))
        .container(
            Container::shell("app", &ask)
                .writable_mount("signal", "/signal")
                .writable_mount("temporary", "/tmp"),
        );
    namespace.apply(&pod.manifest()).await;
    namespace.exec("app", "app", "true").await;
    let refused = until_line(&namespace, "error").await;
    assert!(refused.contains("service_unavailable"), "{refused}");
    assert!(
        refused.contains("the authority cannot be reached"),
        "{refused}"
    );
    assert!(refused.contains("dns error"), "{refused}");
    let log = namespace.log("app", "azwi-proxy").await;
    assert!(
        log.contains("no token from the authority") && log.contains("dns error"),
        "{log}"
    );

    let _server = name_server();
    namespace.exec("app", "app", "touch /signal/go").await;
    let finished = namespace.finished("app").await;
    assert_eq!(finished.phase, "Succeeded");
    let answer = until_line(&namespace, "access_token").await;
    assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    run(&format!("ip address del {SERVER}/32 dev lo")).await;
}

/// Waits for the application's first line that contains `part`.
async fn until_line(namespace: &Namespace, part: &str) -> String {
    let log = async || namespace.log("app", "app").await;
    let log = e2e::until(part, log, |log| log.contains(part)).await;
    let mut lines = log.lines().filter(|line| line.contains(part));
    lines.next().unwrap_or_default().to_owned()
}

/// While Entra refuses connections, a cached token is served (law 5), and a request for another gets an
/// error with the reason. Once Entra is back, the other token comes too.
#[tokio::test]
async fn serves_cached_tokens_while_entra_is_down() {
    let _alone = alone().await;
    let (namespace, identity) = Namespace::with_identity("away").await;
    let wait = |file: &str| format!("until [ -e /signal/{file} ]; do sleep 0.1; done");
    let ask = format!(
        "{ASK}; ask https://vault.azure.net; {}; \
         ask https://vault.azure.net; ask https://storage.azure.com; echo away; {}; \
         until ask https://storage.azure.com | grep access_token; do sleep 0.2; done",
        wait("away"),
        wait("back")
    );
    let pod = Pod::new("app")
        .with_proxy()
        .volume(json!({ "name": "signal", "emptyDir": {} }))
        .container(Container::shell("app", &ask).writable_mount("signal", "/signal"));
    namespace.apply(&pod.manifest()).await;
    namespace.exec("app", "app", "true").await;
    until_line(&namespace, "access_token").await;
    let azure = control();
    azure
        .set_listening(Socket::Azure, false)
        .await
        .expect("the emulator closes its port");
    namespace.exec("app", "app", "touch /signal/away").await;
    until_line(&namespace, "away").await;
    azure
        .set_listening(Socket::Azure, true)
        .await
        .expect("the emulator opens its port");
    namespace.exec("app", "app", "touch /signal/back").await;
    assert_eq!(namespace.finished("app").await.phase, "Succeeded");

    let log = namespace.log("app", "app").await;
    let answers: Vec<_> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(answers.len() >= 4, "{log}");
    assert_eq!(
        answers[0].len(),
        answers[1].len(),
        "the cached token: {log}"
    );
    for answer in [answers[0], answers[1], answers[answers.len() - 1]] {
        assert_eq!(claims(answer)["appid"], identity.client_id, "{answer}");
    }
    assert!(answers[2].contains("service_unavailable"), "{}", answers[2]);
    assert!(answers[2].contains("refused"), "{}", answers[2]);
}
