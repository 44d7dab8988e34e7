//! Every Azure SDK, in its own language, unmodified, in pods on the node. `sdk/clients/install` puts
//! each into a folder of its own; `docs/sdk-compatibility.md` shows the results.

use azure_emulator::{Jwt, Respond, Rule, Service, TokenChange};
use e2e::control;
use serde_json::Value;

use self::pod::{BARE, Examined, WITH_VARIABLES};
use self::session::{Answer, Session};
use self::table::{Cells, Shown, Way};

mod azure_cli;
mod dotnet_requests;
mod drivers;
mod environment;
mod pod;
mod session;
mod table;

const VAULT: &str = "https://vault.azure.net";
const VAULT_WITH_SLASH: &str = "https://vault.azure.net/";
const STORAGE: &str = "https://storage.azure.com";
const GRAPH: &str = "https://graph.microsoft.com";
const MANAGEMENT: &str = "https://management.azure.com";
const DATABASE: &str = "https://database.windows.net";

const UNKNOWN: &str = "aaaaaaaa-0000-0000-0000-00000000dead";

/// An SDK, and which of its features the tests use.
#[derive(Clone, Copy)]
struct Client {
    /// Its name in the table.
    title: &'static str,
    /// Its folder under `sdk/clients`.
    folder: &'static str,
    /// Whether it probes for IMDS by itself.
    finds: bool,
    /// Whether its exchange with Entra, by Workload ID's variables, is tested.
    with_variables: bool,
}

/// Makes a test for each client, and the list of them.
macro_rules! clients {
    ($($test:ident: $title:literal, $folder:literal, $finds:literal, $with_variables:literal;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                let client = Client { title: $title, folder: $folder, finds: $finds, with_variables: $with_variables };
                let row = table::row(client.title, &examine(client).await);
                table::check(&table::REDIRECT, client.title, row);
            }
        )*

        #[tokio::test]
        async fn clients_find_their_endpoint_in_mode_environment() {
            environment::check(&[$(Client { title: $title, folder: $folder, finds: $finds, with_variables: $with_variables }),*]).await;
        }

        #[test]
        fn the_tables_list_exactly_the_tested_clients() {
            table::check_titles(&[table::REDIRECT, table::ENVIRONMENT], &[$($title),*]);
        }
    };
}

clients! {
    dotnet_azure_identity_1_1: ".NET Azure.Identity 1.1.1", "dotnet-azure-identity-1.1.1", true, true;
    dotnet_azure_identity_1_5: ".NET Azure.Identity 1.5.0", "dotnet-azure-identity-1.5.0", true, false;
    go_adal: "Go go-autorest/adal 0.9.24", "go-adal-0.9.24", true, true;
    go_azidentity_1_2: "Go azidentity 1.2.2", "go-azidentity-1.2.2", true, true;
    go_azidentity_1_15: "Go azidentity 1.15.0", "go-azidentity-1.15.0", true, true;
    java_azure_identity_1_8: "Java azure-identity 1.8.3", "java-azure-identity-1.8.3", true, true;
    java_azure_identity_1_19: "Java azure-identity 1.19.0", "java-azure-identity-1.19.0", true, true;
    java_msal4j: "Java msal4j 1.26.0", "java-msal4j-1.26.0", false, true;
    node_azure_identity_2: "Node @azure/identity 2.1.0", "node-azure-identity-2.1.0", true, true;
    node_azure_identity_4: "Node @azure/identity 4.14.1", "node-azure-identity-4.14.1", true, true;
    node_msal: "Node @azure/msal-node 7.2.1", "node-msal-node-7.2.1", false, true;
    node_ms_rest_nodeauth: "Node @azure/ms-rest-nodeauth 3.1.1", "node-ms-rest-nodeauth-3.1.1", false, true;
    python_azure_identity_1_5: "Python azure-identity 1.5.0", "python-azure-identity-1.5.0", true, true;
    python_azure_identity_1_12: "Python azure-identity 1.12.0", "python-azure-identity-1.12.0", true, true;
    python_azure_identity_1_27: "Python azure-identity 1.27.0", "python-azure-identity-1.27.0", true, true;
    python_msal: "Python msal 1.39.0", "python-msal-1.39.0", false, true;
    python_msrestazure: "Python msrestazure 0.6.4.post1", "python-msrestazure-0.6.4.post1", false, true;
    rust_azure_identity: "Rust azure_identity 1.0.0", "rust-azure_identity-1.0.0", false, true;
}

/// Measures one client for every column of the table.
async fn examine(client: Client) -> Cells {
    let pod = Examined::start(client.folder).await;
    let mut session = Session::start(&pod, BARE);

    let (probes_first, second_call) = tokens(&pod, &mut session).await;
    let probes_default = if client.finds {
        Some(finds_imds(&pod, &mut session).await)
    } else {
        None
    };
    let shown = unknown_client(&pod, &mut session).await;
    large_token(&pod, &mut session).await;
    let asks_again = entra_down_then_up(&pod).await;
    let way = if client.with_variables {
        with_variables(&pod, DATABASE).await
    } else {
        Way::NotTried
    };
    Cells {
        probes_first,
        second_call,
        probes_default,
        shown,
        asks_again,
        way,
    }
}

/// Requests both spellings of a resource twice. Returns the number of probes of the very first call,
/// and the number of requests of the second.
async fn tokens(pod: &Examined, session: &mut Session<'_>) -> (u64, u64) {
    let mut probes = Vec::new();
    let mut costs = Vec::new();
    for resource in [VAULT, VAULT_WITH_SLASH] {
        let before = pod.served().await;
        session.token("managed", resource).await;
        let first = pod.served().await;
        session.token("managed", resource).await;
        let second = pod.served().await;
        assert_eq!(first.entra - before.entra, 1, "one exchange for {resource}");
        assert_eq!(
            second.entra, first.entra,
            "the second call sends no exchange to Entra"
        );
        probes.push(first.probes - before.probes);
        costs.push(second.memory - first.memory);
    }
    assert_eq!(costs[0], costs[1], "both spellings are remembered alike");
    (probes[0], costs[0])
}

/// How many probes the SDK sends to find IMDS. None of them causes an exchange with Entra.
async fn finds_imds(pod: &Examined, session: &mut Session<'_>) -> u64 {
    let before = pod.served().await;
    session.token("default", STORAGE).await;
    let after = pod.served().await;
    assert_eq!(after.entra - before.entra, 1, "probes cost no exchange");
    after.probes - before.probes
}

/// Requests a token for an unknown client id, which fails at the first request. Returns where the SDK
/// shows Entra's error.
async fn unknown_client(pod: &Examined, session: &mut Session<'_>) -> Shown {
    let before = pod.served().await;
    let answer = session.ask("managed", VAULT, Some(UNKNOWN)).await;
    let Answer::Error { text, response } = answer else {
        panic!("got a token for a client that Entra does not know")
    };
    let after = pod.served().await;
    assert_eq!(
        after.failed - before.failed,
        1,
        "the SDK must not retry: {text}"
    );
    let entras = |text: &str| text.contains("AADSTS700016");
    if entras(&text) {
        Shown::InText
    } else if response.as_deref().is_some_and(entras) {
        Shown::InResponse
    } else {
        Shown::Nowhere
    }
}

/// Requests a token of over 3 KB.
async fn large_token(pod: &Examined, session: &mut Session<'_>) {
    let control = control();
    let rule = Rule {
        client_id: Some(pod.identity.client_id.clone()),
        token: Some(TokenChange {
            padding_bytes: Some(3000),
            ..TokenChange::default()
        }),
        ..Rule::default()
    };
    let rule = control
        .add_rule(&rule)
        .await
        .expect("the emulator takes a rule");
    let token = session.token("managed", GRAPH).await;
    assert!(token.len() > 3000, "a token of {} bytes", token.len());
    control.remove_rule(rule).await.expect("the rule is there");
}

/// With Entra down, a new process gets the cached token, and gets another once Entra is up. Returns
/// whether the SDK retries by itself.
async fn entra_down_then_up(pod: &Examined) -> bool {
    let control = control();
    let down = Rule {
        service: Some(Service::Entra),
        client_id: Some(pod.identity.client_id.clone()),
        respond: Some(Respond {
            status: 503,
            headers: [].into(),
            body: "Service Unavailable".into(),
            padding_bytes: 0,
        }),
        ..Rule::default()
    };
    let down = control
        .add_rule(&down)
        .await
        .expect("the emulator takes a rule");
    let mut session = Session::start(pod, BARE);
    session.token("managed", VAULT).await;

    let before = pod.served().await.failed;
    let failures = async || pod.served().await.failed - before;
    // Entra stays down until the SDK gives up or retries.
    let early = {
        let mut asking = Box::pin(session.ask("managed", MANAGEMENT, None));
        let answered = loop {
            tokio::select! {
                answer = &mut asking => break Some(answer),
                failures = failures() => if failures > 1 { break None },
            }
        };
        control.remove_rule(down).await.expect("the rule is there");
        match answered {
            Some(answer) => answer,
            None => asking.await,
        }
    };
    let asks_again = failures().await > 1;
    if matches!(early, Answer::Error { .. }) {
        session.token_in_the_end("managed", MANAGEMENT).await;
    }
    asks_again
}

/// Where the SDK gets its token in a container with Workload ID's variables.
async fn with_variables(pod: &Examined, resource: &str) -> Way {
    let before = pod.served().await;
    Session::start(pod, WITH_VARIABLES)
        .token("managed", resource)
        .await;
    let after = pod.served().await;
    if after.entra + after.memory > before.entra + before.memory {
        Way::Proxy
    } else {
        Way::Entra
    }
}

/// Asserts that the token is the workload's, for the resource as spelled.
fn assert_is_for(token: &str, client_id: &str, resource: &str) -> Value {
    let claims = Jwt::parse(token).expect("the token is a JWT").claims;
    assert_eq!(claims["appid"], client_id, "{claims}");
    assert_eq!(claims["aud"], resource, "{claims}");
    claims
}
