//! Relayed requests and their answers, byte by byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::entra::Entra;
use crate::imds::Imds;
use crate::raw::{exchange, parse, send};
use crate::sidecar::{DEADLINE, Sidecar};

const OK: &str = "HTTP/1.1 200 OK\r\nServer: IMDS/150\r\nContent-Type: text/plain\r\n\
                  Content-Length: 2\r\nX-Own: 1\r\n\r\nhi";

async fn relayed(answer: &'static str, more: &[&str]) -> (Imds, Sidecar) {
    let entra = Entra::start("localhost").await;
    let imds = Imds::start(answer).await;
    let [ip, port] = imds.flags();
    let flags: Vec<&str> = [&*ip, &*port]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    let sidecar = Sidecar::start(&entra, &flags).await;
    (imds, sidecar)
}

#[tokio::test]
async fn r14_r15_relays_a_request_unchanged() {
    let (imds, sidecar) = relayed(OK, &[]).await;
    let target = "/metadata/instance/compute/../x%2Fy;z?api-version=2021-02-01&a=%20b&&format=text";
    let lines = "Metadata: true\r\nUser-Agent: app\r\nX-Forwarded-For: 10.0.0.1\r\n\
                 Proxy-Connection: x\r\nTE: trailers\r\n";
    let answer = sidecar.get(target, lines).await;
    assert_eq!((answer.status, &*answer.body), (200, "hi"));
    assert_eq!(answer.header("server"), Some("IMDS/150"));
    assert_eq!(answer.header("x-own"), Some("1"));
    let seen = imds.seen().remove(0);
    let mut lines: Vec<_> = seen
        .trim_end()
        .split("\r\n")
        .map(str::to_lowercase)
        .collect();
    assert_eq!(
        lines.remove(0),
        format!("get {} http/1.1", target.to_lowercase())
    );
    lines.sort();
    assert_eq!(
        lines,
        [
            "host: 169.254.169.254",
            "metadata: true",
            "user-agent: app",
            "x-forwarded-for: 10.0.0.1"
        ],
        "hop-by-hop headers are removed, and none is added",
    );
}

#[tokio::test]
async fn r14_relays_methods_and_bodies() {
    let (imds, sidecar) = relayed(OK, &[]).await;
    let post = "POST /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.1\r\nHost: x\r\n\
                Metadata: true\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{\"a\":\"b\"}";
    assert_eq!(
        parse(&send(sidecar.address, post.as_bytes()).await).body,
        "hi"
    );
    let seen = imds.seen().remove(0);
    assert!(seen.starts_with("POST /metadata/scheduledevents?api-version=2020-07-01 HTTP/1.1\r\n"));
    assert!(seen.ends_with("\r\n\r\n{\"a\":\"b\"}"), "{seen}");
    let seen = seen.to_lowercase();
    assert!(seen.contains("\r\nhost: 169.254.169.254\r\n"), "{seen}");
    exchange(
        sidecar.address,
        "PUT /latest/user-data HTTP/1.1\r\nHost: x\r\n",
    )
    .await;
    assert!(imds.seen()[1].starts_with("PUT /latest/user-data HTTP/1.1\r\n"));
}

#[tokio::test]
async fn r15_relays_answers_unchanged() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\
                    Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x0b\x08";
    let (_imds, sidecar) = relayed(redirect, &[]).await;
    let answer = sidecar.get("/metadata/instance", "").await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some("http://elsewhere.example/"));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.body, "\x1f\x0b\x08");
}

#[tokio::test]
async fn law_1_d9_nothing_of_the_nodes_identity_is_relayed() {
    let (imds, sidecar) = relayed(OK, &[]).await;
    for target in [
        "/metadata/identity/oauth2/token?resource=https://vault.azure.net",
        "/metadata/identity/oauth2/token",
        "/metadata/identity/oauth2/tokenXYZ?resource=a",
        "/metadata/identity/info",
        "/metadata/identity/getplatformmetadata?cred-api-version=2.0",
        "/metadata/identity/issuecredential",
        r"/metadata/identity\oauth2\token?resource=a",
        r"\metadata\identity\oauth2\token?resource=a",
        "/metadata/Identity/oauth2/token?resource=a",
        "/METADATA/IDENTITY/OAUTH2/TOKEN?resource=a",
        "/metadata/identity%5coauth2%5ctoken?resource=a",
        "/metadata%2fidentity%2foauth2%2ftoken?resource=a",
        "/metadata%252fidentity/oauth2/token?resource=a",
        "/%6d%65tadata/%69dentity/oauth2/token?resource=a",
        "/metadata//identity//oauth2//token?resource=a",
        "/x/../metadata/identity/oauth2/token?resource=a",
        "/metadata/instance/%2e%2e/identity/oauth2/token?resource=a",
        "/metadata/./identity/oauth2/token?resource=a",
        "/metadata;x/identity;y/oauth2/token?resource=a",
        "/metadata/identity%00/oauth2/token?resource=a",
        "/metadata/identity./oauth2/token?resource=a",
        "/metadata/identity%20/oauth2/token?resource=a",
        "/metadata/identit%u0079/oauth2/token?resource=a",
        "http://169.254.169.254/metadata/identity/info",
        "http://169.254.169.254/metadata%2Fidentity/oauth2/token",
        "//x/metadata/identity/oauth2/token?resource=a",
        r"/\x/metadata/identity/oauth2/token?resource=a",
        "/http://x/metadata/identity/oauth2/token?resource=a",
        "/x/metadata/identity/info",
        "/metadata/identity::$DATA/info",
        "http://x//metadata/identity/info",
        "/readyz/../metadata/identity/info",
        "/readyz/metadata",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nConnection: close\r\n\r\n"
            );
            let answer = send(sidecar.address, request.as_bytes());
            assert!(!answer.await.ends_with("hi"), "{method} {target}");
        }
    }
    let connect = b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    send(sidecar.address, connect).await;
    assert_eq!(imds.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_to_end_the_proxy_is_never_relayed() {
    for quit in ["--quit=off", "--quit=on"] {
        let (imds, sidecar) = relayed(OK, &[quit]).await;
        let exact = ["/quitquitquit", "/quitquitquit/", "/quitquitquit?x=1"];
        let other = [
            "//quitquitquit",
            "/QUITQUITQUIT",
            "/%71uitquitquit",
            "/quitquitquit/x",
            "/quitquitquit;x",
            "/x/../quitquitquit",
            "http://169.254.169.254//quitquitquit",
        ];
        for target in exact.into_iter().chain(other) {
            for method in ["POST", "GET"] {
                let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n");
                let answer = exchange(sidecar.address, &head).await;
                let (status, error) = match (quit, method) {
                    ("--quit=on", "GET") if exact.contains(&target) => (405, "method_not_allowed"),
                    ("--quit=on", _) if exact.contains(&target) => (400, "invalid_request"),
                    _ => (404, "not_found"),
                };
                let found = (answer.status, &*answer.text("error"));
                assert_eq!(found, (status, error), "{quit} {method} {target}");
                let allowed = (status == 405).then_some("POST");
                assert_eq!(answer.header("allow"), allowed);
            }
        }
        assert_eq!(imds.seen(), Vec::<String>::new(), "{quit}");
    }
}

#[tokio::test]
async fn law_1_no_header_names_another_path_to_the_node() {
    let (imds, sidecar) = relayed(OK, &[]).await;
    let other = "/metadata/identity/oauth2/token?resource=a";
    let lines: String = [
        "X-Original-URL",
        "X-Rewrite-URL",
        "x_rewrite_url",
        "X-Original-URI",
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Forwarded-Prefix",
        "X-Waws-Unencoded-Url",
        "X-Envoy-Original-Path",
        "X-Script-Name",
    ]
    .iter()
    .map(|name| format!("{name}: {other}\r\n"))
    .collect();
    let answer = sidecar.get("/metadata/instance", &lines).await;
    assert_eq!(answer.status, 200);
    let seen = imds.seen().remove(0);
    assert!(!seen.contains("identity"), "{seen}");
}

#[tokio::test]
async fn law_1_the_identity_of_another_cloud_is_not_relayed() {
    let (imds, sidecar) = relayed(OK, &[]).await;
    for path in [
        "/latest/meta-data/iam/security-credentials/",
        "/latest/meta-data/iam/security-credentials/node-role",
        "/latest/api/token",
        "/latest/dynamic/instance-identity/document",
        "/computeMetadata/v1/instance/service-accounts/default/token",
        "/latest/meta-data/ram/security-credentials/role",
        "/opc/v2/identity/key.pem",
        "/openstack/latest/securitykey",
        "//x/latest//meta-data/%69am/info",
        "/x/../computeMetadata/v1/",
    ] {
        let answer = sidecar.get(path, "Metadata-Flavor: Google\r\n").await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        let put = format!("PUT {path} HTTP/1.1\r\nHost: x\r\n");
        let answer = exchange(sidecar.address, &put).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    let answer = sidecar.get("/computeMetadata/", "").await;
    let text = answer.text("error_description");
    assert!(
        text.contains("another cloud") && text.contains("--relay"),
        "{text}"
    );
    assert_eq!(imds.seen(), Vec::<String>::new());

    let list = "--relay=/latest/api/token,/latest/meta-data/iam";
    let (imds, sidecar) = relayed(OK, &[list]).await;
    let path = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(sidecar.get(path, "").await.status, 200);
    assert_eq!(imds.seen().len(), 1);
}

#[tokio::test]
async fn the_relay_policy_denies_or_allows_a_list() {
    let (imds, sidecar) = relayed(OK, &["--relay=deny"]).await;
    for path in ["/metadata/instance", "/"] {
        let answer = sidecar.get(path, "").await;
        assert_eq!((answer.status, &*answer.text("error")), (403, "forbidden"));
    }
    assert_eq!(imds.seen().len(), 0);
    let (imds, sidecar) = relayed(OK, &["--relay=/metadata/instance"]).await;
    assert_eq!(
        sidecar.get("/metadata/instance/compute", "").await.status,
        200
    );
    assert_eq!(
        sidecar.get("/metadata/scheduledevents", "").await.status,
        403
    );
    assert_eq!(imds.seen().len(), 1);
}

#[tokio::test]
async fn r15_d10_reports_an_unreachable_imds_as_json() {
    let entra = Entra::start("localhost").await;
    let refused = Sidecar::start(&entra, &[]).await;
    // A listener that never accepts: once its queue is full, the kernel leaves connections hanging.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = socket.listen(1).unwrap();
    let address = silent.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..8 {
        let connecting = TcpStream::connect(address);
        queue.push(timeout(std::time::Duration::from_millis(50), connecting).await);
    }
    let port = format!("--metadata-port={}", address.port());
    let hanging = Sidecar::start(&entra, &[&port]).await;
    for sidecar in [refused, hanging] {
        let answer = sidecar
            .get("/metadata/instance?api-version=2020-06-01", "")
            .await;
        assert_eq!(
            (answer.status, &*answer.text("error")),
            (503, "service_unavailable")
        );
    }
}

#[tokio::test]
async fn streams_bodies_both_ways() {
    let entra = Entra::start("localhost").await;
    let imds = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = format!("--metadata-port={}", imds.local_addr().unwrap().port());
    let sidecar = Sidecar::start(&entra, &[&port]).await;
    let mut client = TcpStream::connect(sidecar.address).await.unwrap();
    let head = "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut node, _) = timeout(DEADLINE, imds.accept()).await.unwrap().unwrap();
    // The first part arrives before the second is sent.
    read_until(&mut node, "1\r\na\r\n").await;
    client.write_all(b"1\r\nb\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut node, "1\r\nb\r\n").await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n";
    node.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut client, "1\r\nc\r\n").await;
    node.write_all(b"1\r\nd\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut client, "1\r\nd\r\n").await;
}

async fn read_until(stream: &mut TcpStream, part: &str) {
    let mut seen = String::new();
    while !seen.contains(part) {
        let mut chunk = [0; 1024];
        let count = timeout(DEADLINE, stream.read(&mut chunk))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(count, 0, "closed after {seen:?}");
        seen.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
}
