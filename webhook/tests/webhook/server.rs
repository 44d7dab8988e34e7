//! The program over TLS: reviews, malformed requests, limits, and its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use webhook::certificate::keeper::{CONFIGURATION, SECRET};

use crate::cluster::{ACCOUNTS, CONFIGURATIONS, Cluster, SECRETS, decoded};
use crate::fixture::{CLIENT_ID, pod};
use crate::http::{self, connect, exchange};
use crate::process::Webhook;

pub(crate) async fn cluster() -> Cluster {
    let cluster = Cluster::installed().await;
    cluster.account(
        "ns",
        "sa",
        json!({ "azure.workload.identity/client-id": CLIENT_ID }),
    );
    cluster
}

pub(crate) fn review(version: &str, pod: Value) -> Value {
    json!({
        "apiVersion": format!("admission.k8s.io/{version}"),
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "ns",
            "operation": "CREATE",
            "object": pod,
            "oldObject": null,
            "dryRun": false,
        },
    })
}

pub(crate) fn labelled(annotations: Value) -> Value {
    pod(
        annotations,
        json!({ "serviceAccountName": "sa", "containers": [{ "name": "app" }] }),
    )
}

/// The flags are upstream's, and so is the line, except for the compiler.
#[tokio::test]
async fn prints_its_version_as_json() {
    for flag in ["--version", "-version", "--version=true"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_webhook"));
        let output = program.arg(flag).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let version: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = format!("v{}", contract::VERSION);
        assert_eq!(version["buildVersion"], expected, "{version}");
    }
}

/// The flag is controller-runtime's, and so upstream's.
#[tokio::test]
async fn names_a_kubeconfig_file_that_cannot_be_used() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_webhook"));
    program
        .args([
            "-port=0",
            "--health-addr=localhost:0",
            "--metrics-addr=0",
            "-kubeconfig=/missing",
        ])
        .env("AZURE_TENANT_ID", crate::fixture::TENANT_ID)
        .env("PROXY_IMAGE", "registry.example.com/proxy:v1");
    let output = program.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(log.contains("--kubeconfig=/missing"), "{log}");
}

#[tokio::test]
async fn answers_reviews_of_both_versions() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    for version in ["v1", "v1beta1"] {
        let annotations = json!({ "azure.workload.identity/inject-proxy-sidecar": "true" });
        let answer = webhook
            .review(&review(version, labelled(annotations)))
            .await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.head.contains("content-type: application/json"),
            "{}",
            answer.head
        );
        let answer = answer.json();
        assert_eq!(answer["apiVersion"], format!("admission.k8s.io/{version}"));
        assert_eq!(answer["kind"], "AdmissionReview");
        let response = &answer["response"];
        assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        assert_eq!(response["allowed"], true);
        assert_eq!(response["patchType"], "JSONPatch");
        assert_eq!(
            response["auditAnnotations"],
            json!({
                "client-id": CLIENT_ID,
                "injected": "token,proxy",
                "service-account": "sa",
            })
        );
        assert_eq!(response["warnings"], Value::Null);
        let patch = decoded(&response["patch"]);
        assert!(
            patch.contains(CLIENT_ID) && patch.contains("azwi-proxy-init"),
            "{patch}"
        );
        // This API server is 1.34.
        assert!(patch.contains("restartPolicy"), "{patch}");

        // A second run over its own result adds nothing.
        let mut result =
            labelled(json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }));
        let patch: json_patch::Patch = serde_json::from_str(&patch).unwrap();
        json_patch::patch(&mut result, &patch).unwrap();
        let answer = webhook.review(&review(version, result)).await.json();
        assert_eq!(answer["response"]["allowed"], true);
        assert_eq!(answer["response"]["patch"], Value::Null);
        assert_eq!(answer["response"]["patchType"], Value::Null);
    }
    assert_eq!(
        webhook
            .cluster
            .requests("GET /api/v1/namespaces/ns/serviceaccounts/"),
        0
    );
}

#[tokio::test]
async fn gives_each_pod_in_mode_environment_its_own_secret() {
    let secret = |patch: &str| {
        let (_, behind) = patch
            .split_once("\"IDENTITY_HEADER\",\"value\":\"")
            .unwrap();
        behind.split_once('"').unwrap().0.to_owned()
    };
    let cluster = cluster().await;
    let mut secrets = std::collections::BTreeSet::new();
    let of_pod = "azure.workload.identity/proxy-mode";
    for (flags, key) in [(&["--proxy-mode=environment"][..], "other"), (&[], of_pod)] {
        let webhook = Webhook::ready(&cluster, flags).await;
        let pod = labelled(json!({
            "azure.workload.identity/inject-proxy-sidecar": "true",
            key: "environment",
        }));
        for _ in 0..2 {
            let answer = webhook.review(&review("v1", pod.clone())).await.json();
            secrets.insert(secret(&decoded(&answer["response"]["patch"])));
        }
    }
    assert_eq!(secrets.len(), 4, "{secrets:?}");
}

/// The response to a review of a pod at one of the webhook's paths.
async fn review_at(webhook: &Webhook, path: &str, pod: &Value) -> Value {
    let head = format!("POST {path}?timeout=5s HTTP/1.1\r\nContent-Type: application/json");
    let body = review("v1", pod.clone()).to_string();
    let mut connection = webhook.connect().await;
    let answer = exchange(&mut connection, &head, body.as_bytes()).await;
    answer.unwrap().json()["response"].take()
}

#[tokio::test]
async fn each_path_has_its_mode_and_the_second_call_adds_nothing() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let review_at = async |path, pod: &Value| review_at(&webhook, path, pod).await;
    let mut pod = labelled(json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }));
    let usual = review_at("/mutate-v1-pod", &pod).await;
    assert_eq!(usual["auditAnnotations"]["injected"], "token,proxy");
    assert_eq!(usual["warnings"], Value::Null);

    let restricted = review_at("/mutate-v1-pod/environment", &pod).await;
    assert_eq!(
        restricted["auditAnnotations"]["injected"],
        "token,proxy-environment"
    );
    let warning = restricted["warnings"][0].as_str().unwrap();
    assert!(warning.ends_with("and ends this warning"), "{warning}");
    let patch: json_patch::Patch = serde_json::from_str(&decoded(&restricted["patch"])).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    assert!(!pod.to_string().contains("azwi-proxy-init"), "{pod}");
    let after = review_at("/mutate-v1-pod", &pod).await;
    assert_eq!(after["patch"], Value::Null);
    assert_eq!(after["warnings"], restricted["warnings"]);
}

#[tokio::test]
async fn refuses_native_sidecars_that_the_api_server_drops() {
    let cluster = cluster().await;
    cluster.set_version("27", "v1.27.16");
    let mut webhook = Webhook::start(&cluster, &["--native-sidecar=on"]).await;
    assert_eq!(webhook.ended().await.code(), Some(64));
    let log = webhook.log().join("\n");
    assert!(
        log.contains("--native-sidecar=on: the API server is v1.27.16"),
        "{log}"
    );
}

#[tokio::test]
async fn admits_other_requests_unchanged() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let mut unlabelled = labelled(Value::Null);
    unlabelled["metadata"]["labels"] = Value::Null;
    let mut update = review("v1", labelled(Value::Null));
    update["request"]["operation"] = "UPDATE".into();
    let mut other = review("v1", labelled(Value::Null));
    other["request"]["resource"]["resource"] = "deployments".into();
    for body in [review("v1", unlabelled), update, other] {
        let answer = webhook.review(&body).await.json();
        assert_eq!(answer["response"]["allowed"], true);
        assert_eq!(answer["response"]["patch"], Value::Null);
    }
}

#[tokio::test]
async fn warns_about_a_label_on_the_account_alone() {
    let cluster = cluster().await;
    cluster.put(
        ACCOUNTS,
        "ns",
        "labelled",
        json!({ "metadata": { "labels": { "azure.workload.identity/use": "true" } } }),
    );
    let webhook = Webhook::ready(&cluster, &[]).await;
    let mut unlabelled = labelled(Value::Null);
    unlabelled["metadata"]["labels"] = Value::Null;
    unlabelled["spec"]["serviceAccountName"] = "labelled".into();
    let response = &webhook.review(&review("v1", unlabelled)).await.json()["response"];
    assert_eq!(response["allowed"], true);
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the pod has not"), "{warning}");
}

#[tokio::test]
async fn denies_mistakes_with_a_sentence() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let annotations = json!({ "azure.workload.identity/inject-proxy-sidecar": "maybe" });
    let answer = webhook.review(&review("v1", labelled(annotations))).await;
    assert_eq!(answer.status, 200);
    let response = &answer.json()["response"];
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 400);
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .contains("\"maybe\"")
    );

    let mut missing = labelled(Value::Null);
    missing["spec"]["serviceAccountName"] = "missing".into();
    let response = &webhook.review(&review("v1", missing)).await.json()["response"];
    assert_eq!(response["status"]["code"], 400);
    let message = response["status"]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "there is no service account \"missing\" in namespace \"ns\""
    );
}

/// The name is in the path of a request to the API server, and in a label of the metrics.
#[tokio::test]
async fn an_impossible_name_causes_no_request_to_the_api_server() {
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &[]).await;
    let before = cluster.requests("GET ");
    for (namespace, account) in [
        ("ns/serviceaccounts/sa?a=1&", "sa"),
        ("ns", "sa?a=1"),
        ("..", "sa"),
        ("ns", &"a".repeat(300_000)),
    ] {
        let mut pod = labelled(Value::Null);
        pod["spec"]["serviceAccountName"] = account.into();
        let mut review = review("v1", pod);
        review["request"]["namespace"] = namespace.into();
        let response = &webhook.review(&review).await.json()["response"];
        assert_eq!(response["status"]["code"], 400);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("there is no service account") && message.len() < 1_000,
            "{message}"
        );
    }
    assert_eq!(cluster.requests("GET "), before);
    let metrics = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    assert!(!metrics.contains("serviceaccounts"), "{metrics}");
    assert!(webhook.log().iter().all(|line| line.len() < 2_000));
}

#[tokio::test]
async fn every_watch_that_ends_at_once_is_asked_for_more_and_more_slowly() {
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &[]).await;
    webhook.logged("service accounts are listed").await;
    let watches = [
        "GET /api/v1/serviceaccounts?&watch=true",
        "GET /api/v1/namespaces/system/secrets?&watch=true",
        "GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?&watch=true",
    ];
    let before = watches.map(|watch| cluster.requests(watch));
    cluster.end_watches(true);
    for (watch, before) in watches.into_iter().zip(before) {
        cluster.until_requests(watch, before + 4).await;
    }
    let since = Instant::now();
    for (watch, before) in watches.into_iter().zip(before) {
        // Without pauses it would be thousands.
        cluster.until_requests(watch, before + 5).await;
        assert!(cluster.requests(watch) < before + 10, "{watch}");
    }
    assert!(since.elapsed() > Duration::from_secs(1));
}

#[tokio::test]
async fn an_error_of_the_api_server_is_a_503() {
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &[]).await;
    cluster.forbid(hyper::Method::GET, ACCOUNTS);
    let mut unknown = labelled(Value::Null);
    unknown["spec"]["serviceAccountName"] = "unknown".into();
    let response = &webhook.review(&review("v1", unknown.clone())).await.json()["response"];
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 503);
    assert_eq!(response["status"]["reason"], "ServiceUnavailable");
    // Accounts in memory are served as before.
    let response = &webhook
        .review(&review("v1", labelled(Value::Null)))
        .await
        .json()["response"];
    assert_eq!(response["allowed"], true);
}

#[tokio::test]
async fn refuses_malformed_reviews_and_answers_the_next_one() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let json = "Content-Type: application/json";
    let post = |header: &str| format!("POST /mutate-v1-pod HTTP/1.1\r\n{header}");
    let status_of = |version: &str| {
        let mut body = review("v1", labelled(Value::Null));
        body["apiVersion"] = version.into();
        body.to_string()
    };
    let mut strange = review("v1", labelled(Value::Null));
    strange["request"]["object"]["spec"]["containers"] = "many".into();
    let deep = "[".repeat(40_000);
    for (head, body, status, part) in [
        (
            post("Content-Type: text/plain"),
            "{}".to_owned(),
            415,
            "application/json",
        ),
        (post("X: y"), "{}".to_owned(), 415, "application/json"),
        (post(json), String::new(), 400, "not an AdmissionReview"),
        (post(json), "{".to_owned(), 400, "not an AdmissionReview"),
        (post(json), "[]".to_owned(), 400, "not an AdmissionReview"),
        (post(json), "null".to_owned(), 400, "not an AdmissionReview"),
        (
            post(json),
            "\u{0}\u{1}".to_owned(),
            400,
            "not an AdmissionReview",
        ),
        (post(json), deep, 400, "not an AdmissionReview"),
        (
            post(json),
            json!({ "kind": "Pod", "apiVersion": "v1" }).to_string(),
            400,
            "kind",
        ),
        (post(json), status_of("admission.k8s.io/v2"), 400, "v1beta1"),
        (
            post(json),
            strange.to_string(),
            400,
            "not an AdmissionReview",
        ),
        (
            post(json),
            json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1" }).to_string(),
            400,
            "no request",
        ),
        (post(json), " ".repeat(8 * 1024 * 1024), 413, "7 MiB"),
        (
            format!("GET /mutate-v1-pod HTTP/1.1\r\n{json}"),
            String::new(),
            405,
            "",
        ),
        (
            format!("POST / HTTP/1.1\r\n{json}"),
            "{}".to_owned(),
            404,
            "",
        ),
    ] {
        let answer = exchange(&mut webhook.connect().await, &head, body.as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{head} {}", answer.text());
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let answer = webhook.review(&review("v1", labelled(Value::Null))).await;
    assert_eq!(answer.json()["response"]["allowed"], true);
}

#[tokio::test]
async fn refuses_or_closes_malformed_http() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let post = "POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 1024 * 1024, " ".repeat(1024 * 1024));
    let chunks = format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n{}",
        chunk.repeat(8)
    );
    let no_text = format!("{post}Content-Length: 2\r\n\r\n").into_bytes();
    for (bytes, status) in [
        (b"\x16\x03\x01 no HTTP at all\r\n\r\n".to_vec(), "400"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n".to_vec(),
            "400",
        ),
        (
            format!("{post}Content-Length: many\r\n\r\n").into_bytes(),
            "400",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\nmany\r\n").into_bytes(),
            "400",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)).into_bytes(),
            "431",
        ),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(500_000)).into_bytes(),
            "431",
        ),
        ([no_text, b"\xff\xfe".to_vec()].concat(), "400"),
        (chunks.into_bytes(), "413"),
    ] {
        let mut stream = webhook.connect().await;
        let exchange = async {
            // It may have been closed before all was sent.
            let _ = stream.write_all(&bytes).await;
            let mut line = [0; 12];
            let read = stream.read_exact(&mut line).await;
            read.map(|_| String::from_utf8_lossy(&line).into_owned())
        };
        let line = poll::event("an answer", exchange).await;
        match line {
            Ok(line) => assert_eq!(line, format!("HTTP/1.1 {status}"), "{:?}", bytes.get(..99)),
            // A reset, because it was still being sent, takes the answer with it.
            Err(error) => assert!(bytes.len() > 70_000, "{error}: {:?}", bytes.get(..99)),
        }
    }
}

#[tokio::test]
async fn closes_connections_of_silent_clients() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let handshake = async {
        let mut stream = TcpStream::connect(webhook.admission).await.unwrap();
        // The head of a TLS record, and nothing more.
        stream.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    };
    let body = async {
        let mut stream = webhook.connect().await;
        let head = "POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Content-Length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = http::read(&mut stream).await.unwrap();
        assert_eq!(answer.status, 408);
        assert!(
            answer.text().contains("did not arrive"),
            "{}",
            answer.text()
        );
    };
    let both = futures_util::future::join(handshake, body);
    poll::event("the end of both", both).await;
}

#[tokio::test]
async fn speaks_only_http_1_and_tls_1_3() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let bundle = webhook.cluster.bundle();
    let tls13 = &rustls::version::TLS13;
    let tls12 = &rustls::version::TLS12;
    let stream = connect(webhook.admission, &bundle, tls13, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(
        connect(webhook.admission, &bundle, tls13, &[])
            .await
            .is_ok()
    );
    assert!(
        connect(webhook.admission, &bundle, tls13, &["h2"])
            .await
            .is_err()
    );
    assert!(
        connect(webhook.admission, &bundle, tls12, &["http/1.1"])
            .await
            .is_err()
    );

    let webhook = Webhook::ready(&cluster().await, &["--tls-min-version=1.2"]).await;
    let bundle = webhook.cluster.bundle();
    assert!(
        connect(webhook.admission, &bundle, tls12, &["http/1.1"])
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn closes_an_idle_connection_at_the_limit() {
    let webhook = Webhook::ready(&cluster().await, &["--max-connections=1"]).await;
    let body = review("v1", labelled(Value::Null)).to_string();
    let mut idle = webhook.connect().await;
    http::review(&mut idle, body.as_bytes()).await.unwrap();
    let answer = webhook.review(&review("v1", labelled(Value::Null))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn keeps_a_busy_connection_at_the_limit() {
    let cluster = cluster().await;
    let webhook = Webhook::ready(&cluster, &["--max-connections=1"]).await;
    let mut busy = webhook.connect().await;
    cluster.slow_accounts(true);
    let mut pod = labelled(Value::Null);
    pod["spec"]["serviceAccountName"] = "slow".into();
    let body = review("v1", pod).to_string();
    let reviewing = tokio::spawn(async move { http::review(&mut busy, body.as_bytes()).await });
    cluster
        .until_requests("GET /api/v1/namespaces/ns/serviceaccounts/slow", 1)
        .await;
    // It waits, because its address has as many as it may.
    let late = http::connect_as_api_server(webhook.admission, &cluster.bundle()).await;
    assert!(late.is_ok());
    assert_eq!(reviewing.await.unwrap().unwrap().status, 200);
}

/// 1,100 connections exceed the limit of the admission port, and 40 that of the health port.
#[tokio::test]
async fn serves_api_servers_and_probes_under_a_flood_of_silent_connections() {
    let second = Duration::from_secs(1);
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let bundle = webhook.cluster.bundle();
    for addresses in [1, 50] {
        let mut held = Vec::new();
        for (address, count) in [(webhook.health, 40), (webhook.admission, 1_100)] {
            for nth in 0..count {
                held.push(silent(address, u8::try_from(nth % addresses).unwrap()).await);
            }
        }
        let probe = tokio::time::timeout(second, http::get(webhook.health, "/healthz")).await;
        assert_eq!(probe.expect("no answer in time").unwrap().status, 200);
        let reviewing = async {
            let mut stream = http::connect_as_api_server(webhook.admission, &bundle)
                .await
                .unwrap();
            let body = review("v1", labelled(Value::Null)).to_string();
            http::review(&mut stream, body.as_bytes()).await.unwrap()
        };
        let answer = tokio::time::timeout(second, reviewing).await;
        assert_eq!(answer.expect("no answer in time").status, 200);
        drop(held);
    }
}

/// A connection from 127.0.1.`last` in which nothing is sent.
pub(crate) async fn silent(address: SocketAddr, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 1, last], 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn serves_after_sigterm_and_asks_clients_to_leave() {
    let mut webhook = Webhook::ready(&cluster().await, &[]).await;
    let body = review("v1", labelled(Value::Null)).to_string();
    let mut open = webhook.connect().await;
    let answer = http::review(&mut open, body.as_bytes()).await.unwrap();
    assert!(
        !answer.head.contains("connection: close"),
        "{}",
        answer.head
    );

    webhook.signal(Signal::SIGTERM);
    webhook.logged("received SIGTERM").await;
    let answer = http::get(webhook.health, "/readyz").await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("ending"), "{}", answer.text());
    assert_eq!(
        http::get(webhook.health, "/healthz").await.unwrap().status,
        200
    );
    let answer = http::review(&mut open, body.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    let answer = http::review(&mut webhook.connect().await, body.as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "new connections are served, too");

    webhook.signal(Signal::SIGTERM);
    assert!(webhook.ended().await.success());
}

/// The product is removed and installed again while a replica of the first installation still ends.
#[tokio::test]
async fn a_replica_that_ends_leaves_the_next_installations_secret_alone() {
    let cluster = cluster().await;
    let first = Webhook::ready(&cluster, &[]).await;
    let old = cluster.bundle();
    first.signal(Signal::SIGTERM);
    first.logged("received SIGTERM").await;
    for (resource, namespace) in [(SECRETS, "system"), (CONFIGURATIONS, "")] {
        let name = if resource == SECRETS {
            SECRET
        } else {
            CONFIGURATION
        };
        cluster.delete(resource, namespace, name);
    }
    cluster.put(SECRETS, "system", SECRET, json!({}));
    cluster.reset_configuration();
    let _second = Webhook::ready(&cluster, &[]).await;
    assert_eq!(cluster.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    assert_ne!(cluster.bundle(), old);
}

#[tokio::test]
async fn metrics_report_reviews_and_certificate() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let mut dry = review("v1", labelled(Value::Null));
    let answer = webhook.review(&dry).await.json();
    dry["request"]["dryRun"] = true.into();
    assert_eq!(webhook.review(&dry).await.json(), answer);
    let text = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    for line in [
        "azwi_mutation_request_count{namespace=\"ns\",service_name=\"webhook\"} 2",
        "azwi_reviews_total{outcome=\"DryRun\"} 1",
        "azwi_reviews_in_flight 0",
        "azwi_service_account_watch_failing 0",
        "azwi_service_account_watch_event_timestamp_seconds 1",
        "azwi_reviews_total{outcome=\"Injected\"} 1",
        "azwi_service_accounts 1",
        "azwi_certificate_trusted 1",
        "azwi_certificate_expiry_timestamp_seconds ",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert_eq!(text.matches("# EOF").count(), 1);
}

/// In a namespace that refuses NET_ADMIN the API server calls two entries, one after the other.
#[tokio::test]
async fn a_pod_counts_once_although_two_entries_review_it() {
    let webhook = Webhook::ready(&cluster().await, &[]).await;
    let pod = labelled(Value::Null);
    let denied = labelled(json!({ "azure.workload.identity/inject-proxy-sidecar": "perhaps" }));
    let first = "/mutate-v1-pod/environment";
    for (path, pod, allowed) in [
        (first, &pod, true),
        ("/mutate-v1-pod", &pod, true),
        (first, &denied, false),
    ] {
        let response = review_at(&webhook, path, pod).await;
        assert_eq!(response["allowed"], allowed, "{response}");
    }
    let text = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    for line in [
        "azwi_mutation_request_count{namespace=\"ns\",service_name=\"webhook\"} 1",
        "azwi_reviews_total{outcome=\"Injected\"} 1",
        "azwi_reviews_total{outcome=\"Denied\"} 1",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn is_alive_but_not_ready_without_an_api_server() {
    let cluster = Cluster::start().await;
    let mut webhook = Webhook::start(&cluster, &["--native-sidecar=on"]).await;
    webhook
        .logged("there is no MutatingWebhookConfiguration")
        .await;
    assert_eq!(
        http::get(webhook.health, "/healthz").await.unwrap().status,
        200
    );
    let answer = http::get(webhook.health, "/readyz").await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("does not trust"),
        "{}",
        answer.text()
    );
    webhook.signal(Signal::SIGTERM);
    webhook.signal(Signal::SIGINT);
    webhook.logged("received SIG").await;
    webhook.ended().await;
}
