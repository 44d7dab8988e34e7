//! The requests of .NET libraries that cannot be installed here, byte for byte as their sources make
//! them, and the parts of the answers that those libraries need.

use e2e::kubectl_with_input;
use serde_json::Value;

use super::assert_is_for;
use super::pod::{BARE, Examined, NAME};

const TOKEN: &str = "/metadata/identity/oauth2/token";

/// The headers behind the host line of each request of Azure.Identity.
const AZURE_CORE: &str = "x-ms-client-request-id: 6d3b2a5e-94d1-4d1e-8f0c-0f6f0c7b8a11\r\n\
    x-ms-return-client-request-id: true\r\n\
    User-Agent: azsdk-net-Identity/1.11.0 (.NET 8.0.4; Debian GNU/Linux 12 (bookworm))\r\n";

/// One pod serves all, since each library sends few requests.
#[tokio::test]
async fn serves_the_requests_of_every_dotnet_library() {
    let pod = Examined::start("python-azure-identity-1.5.0").await;
    azure_identity_since_1_11_in_a_chain(&pod).await;
    azure_identity_until_1_2(&pod).await;
    azure_identity_1_3_to_1_4(&pod).await;
    azure_identity_1_5_to_1_10(&pod).await;
    app_authentication_until_1_4(&pod).await;
    app_authentication_since_1_5(&pod).await;
    msal_since_4_81(&pod).await;
}

async fn azure_identity_until_1_2(pod: &Examined) {
    // The library accepts any answer within half a second.
    let probe = send(pod, &format!("{TOKEN}?api-version=2018-02-01"), AZURE_CORE).await;
    assert_eq!(probe.status, 400, "{}", probe.body);
    gets_a_token_of_azure_identity(pod).await;
}

async fn azure_identity_1_3_to_1_4(pod: &Examined) {
    // The probe is a connection that sends nothing.
    let connect = "import socket; socket.create_connection(('169.254.169.254', 80)).close()";
    let line = format!("/usr/bin/python3 -c \"{connect}\"");
    pod.namespace.exec(NAME, BARE, &line).await;
    gets_a_token_of_azure_identity(pod).await;
}

async fn azure_identity_1_5_to_1_10(pod: &Examined) {
    // Without a probe: in a chain the first token must come within a second. This one selects an
    // identity.
    let client_id = &pod.identity.client_id;
    let target = format!(
        "{TOKEN}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id={client_id}"
    );
    gets_a_token(pod, &target, &format!("Metadata: true\r\n{AZURE_CORE}")).await;
}

async fn azure_identity_since_1_11_in_a_chain(pod: &Examined) {
    // The real request without its header. The library would accept a token here.
    let target = format!("{TOKEN}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net");
    let probe = send(pod, &target, AZURE_CORE).await;
    assert_eq!(probe.status, 400, "{}", probe.body);
    assert!(
        !probe.body.is_empty(),
        "the library takes an empty body for a missing IMDS"
    );
    assert!(!probe.body.contains("Identity not found"), "{}", probe.body);
    assert_eq!(pod.served().await.entra, 0, "a probe costs no exchange");
}

async fn app_authentication_until_1_4(pod: &Examined) {
    // The library accepts any answer within two seconds.
    let probe = send(pod, TOKEN, "").await;
    assert_eq!(probe.status, 400, "{}", probe.body);
    // The resource is not escaped.
    let target = format!("{TOKEN}?resource=https://vault.azure.net&api-version=2018-02-01");
    gets_a_token(pod, &target, "Metadata: true\r\n").await;
}

async fn app_authentication_since_1_5(pod: &Examined) {
    // This one is relayed to the node's IMDS.
    let instance = "/metadata/instance?api-version=2020-06-01";
    let probe = send(pod, instance, "Metadata: true\r\n").await;
    assert_eq!(probe.status, 200, "{}", probe.body);
    let client_id = &pod.identity.client_id;
    let target = format!(
        "{TOKEN}?resource=https://vault.azure.net&client_id={client_id}&api-version=2019-11-01"
    );
    gets_a_token(pod, &target, "Metadata: true\r\n").await;
}

async fn msal_since_4_81(pod: &Examined) {
    let id = "x-ms-client-request-id: 6d3b2a5e-94d1-4d1e-8f0c-0f6f0c7b8a11\r\n";
    let client_id = &pod.identity.client_id;
    for selector in [String::new(), format!("&client_id={client_id}")] {
        let target = format!("{TOKEN}?api-version=2018-02-01{selector}");
        let probe = send(pod, &target, id).await;
        assert_eq!(
            probe.status, 400,
            "the library takes any other status for a missing IMDS"
        );
    }
    // The mTLS endpoints are about the node's identity. After a 404, MSAL uses the plain ones.
    let platform = "/metadata/identity/getplatformmetadata?cred-api-version=2.0";
    for headers in [id, &format!("Metadata: true\r\n{id}")] {
        let answer = send(pod, platform, headers).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    let headers =
        format!("Metadata: true\r\nx-client-SKU: MSAL.NetCore\r\nx-client-Ver: 4.81.0.0\r\n{id}");
    let target = format!("{TOKEN}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net");
    let body = gets_a_token(pod, &target, &headers).await;
    // The library reads both into one field, so the last one must be the absolute time.
    let (first, last) = (body.find("\"expires_in\""), body.find("\"expires_on\""));
    assert!(first.is_some() && first < last, "{body}");
}

async fn gets_a_token_of_azure_identity(pod: &Examined) {
    let target = format!("{TOKEN}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net");
    gets_a_token(pod, &target, &format!("Metadata: true\r\n{AZURE_CORE}")).await;
}

/// Gets the workload's token, with every field that one of the libraries needs.
async fn gets_a_token(pod: &Examined, target: &str, headers: &str) -> String {
    let answer = send(pod, target, headers).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).expect("the answer is JSON");
    for field in ["access_token", "expires_on", "resource", "token_type"] {
        assert!(body[field].is_string(), "{field} is no string");
    }
    let token = body["access_token"].as_str().unwrap_or_default();
    assert_is_for(token, &pod.identity.client_id, "https://vault.azure.net");
    answer.body
}

struct Received {
    status: u16,
    body: String,
}

/// Sends a GET from the pod, and returns the answer.
async fn send(pod: &Examined, target: &str, headers: &str) -> Received {
    const SEND: &str = "import http.client, socket, sys\n\
        connection = socket.create_connection(('169.254.169.254', 80))\n\
        connection.sendall(sys.stdin.buffer.read())\n\
        answer = http.client.HTTPResponse(connection)\n\
        answer.begin()\n\
        print(answer.status, answer.read().decode(), end='')";
    let request = format!("GET {target} HTTP/1.1\r\nHost: 169.254.169.254\r\n{headers}\r\n");
    let namespace = pod.namespace.name();
    let args = [
        "exec",
        "-i",
        "-n",
        namespace,
        NAME,
        "-c",
        BARE,
        "--",
        "/usr/bin/python3",
        "-c",
        SEND,
    ];
    let printed = kubectl_with_input(&args, &request).await;
    let (status, body) = printed.split_once(' ').expect("a status and a body");
    Received {
        status: status.parse().expect("a status is a number"),
        body: body.to_owned(),
    }
}
