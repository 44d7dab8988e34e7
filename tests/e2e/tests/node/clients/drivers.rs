//! Drivers and tools that bring their own code for managed identities, unmodified, each in pods of its own.
//! `sdk/clients/install` puts each into a folder; `docs/sdk-compatibility.md` shows the results.

use azure_emulator::{Jwt, NODE_CLIENT_ID, Resource};
use contract::annotation;
use e2e::{Identity, Namespace, Pod, control};

use super::pod::{BARE, CLIENT, Examined, NAME, application, trusting, with_client};
use super::session::{Answer, Session};
use super::table::{self, DRIVERS, DriverCells};
use super::{MANAGEMENT, STORAGE, assert_is_for, with_variables};

const DATABASE_WITH_SLASH: &str = "https://database.windows.net/";
const STORAGE_WITH_SLASH: &str = "https://storage.azure.com/";
const CLASSIC_MANAGEMENT: &str = "https://management.core.windows.net/";
const EVENT_HUBS: &str = "https://drivers.servicebus.windows.net";
const MANAGEMENT_WITH_SLASH: &str = "https://management.azure.com/";

/// The proxy's endpoint in mode `environment`, for tools that have a setting for it.
const ENDPOINT: &str = "http://127.0.0.1:8000/metadata/identity/oauth2/token";

/// A driver or tool.
#[derive(Clone, Copy)]
struct Driver {
    /// Its name in the table.
    title: &'static str,
    /// Its folder under `sdk/clients`.
    folder: &'static str,
    /// The resource of its tokens. Some know only one.
    resource: &'static str,
    /// The variable in which its client takes the setting for the endpoint, if the tool has one.
    endpoint: Option<&'static str>,
}

/// Makes a test for each driver, and the list of them.
macro_rules! drivers {
    ($($test:ident: $title:literal, $folder:literal, $resource:ident, $endpoint:expr;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                let driver = Driver { title: $title, folder: $folder, resource: $resource, endpoint: $endpoint };
                let row = table::driver_row(driver.title, &examine(driver).await);
                table::check(&DRIVERS, driver.title, row);
            }
        )*

        #[test]
        fn the_table_lists_exactly_the_tested_drivers() {
            table::check_titles(&[DRIVERS], &[$($title),*]);
        }
    };
}

drivers! {
    driver_hadoop_azure: "Hadoop ABFS 3.4.2", "driver-hadoop-azure-3.4.2", STORAGE_WITH_SLASH, Some("ABFS_MSI_ENDPOINT");
    driver_librdkafka: "librdkafka 2.16.1", "driver-librdkafka-2.16.1", EVENT_HUBS, Some("KAFKA_TOKEN_ENDPOINT");
    driver_msodbcsql: "SQL Server ODBC 18.6.2", "driver-msodbcsql-18.6.2", DATABASE_WITH_SLASH, None;
    driver_mssql_jdbc_11: "SQL Server JDBC 11.2.3", "driver-mssql-jdbc-11.2.3", DATABASE_WITH_SLASH, None;
    driver_mssql_jdbc_13: "SQL Server JDBC 13.6.2", "driver-mssql-jdbc-13.6.2", DATABASE_WITH_SLASH, None;
    driver_opa: "OPA 1.22.4", "driver-opa-1.22.4", STORAGE_WITH_SLASH, None;
    driver_prometheus: "Prometheus 3.16.0", "driver-prometheus-0.316.0", CLASSIC_MANAGEMENT, None;
    driver_rclone: "rclone 1.76.0", "driver-rclone-1.76.0", STORAGE, None;
    driver_terraform: "Terraform: go-azure-sdk 0.20260811", "driver-go-azure-sdk-0.20260811.1225050", MANAGEMENT, Some("ARM_MSI_ENDPOINT");
    driver_vault: "Vault Agent 1.21.4", "driver-vault-1.21.4", MANAGEMENT_WITH_SLASH, None;
}

/// Measures one driver for every column of the table.
async fn examine(driver: Driver) -> DriverCells {
    let known = Resource {
        identifiers: vec![driver.resource.trim_end_matches('/').to_owned()],
    };
    let added = control().add_resource(&known).await;
    added.expect("the emulator takes a resource");

    let pod = Examined::start(driver.folder).await;
    let mut session = Session::start(&pod, BARE);
    let (shows_error, attempts) = refused(&pod, &mut session, driver).await;
    session.token_in_the_end("managed", driver.resource).await;
    session.token("managed", driver.resource).await;
    by_id(&pod, &mut session, driver).await;
    DriverCells {
        shows_error,
        attempts,
        way: with_variables(&pod, driver.resource).await,
        environment: in_mode_environment(driver).await,
    }
}

/// Requests a token while Entra does not know the identity. Returns whether the driver shows Entra's
/// error, and how many requests it sent.
async fn refused(pod: &Examined, session: &mut Session<'_>, driver: Driver) -> (bool, u64) {
    let client_id = &pod.identity.client_id;
    let removed = control().remove_application(client_id).await;
    removed.expect("the emulator knows the identity");
    let before = pod.served().await.failed;
    let answer = session.ask("managed", driver.resource, None).await;
    let attempts = pod.served().await.failed - before;
    Identity::register_as(client_id, &pod.namespace, "app").await;
    match answer {
        Answer::Token { .. } => panic!("got a token of an identity that Entra does not know"),
        Answer::Error { text, .. } => {
            eprintln!("{}: {text}", driver.title);
            (text.contains("AADSTS700016"), attempts)
        }
    }
}

/// Requests a token by the identity's id. The emulator's object ids are the client ids, and the ODBC driver takes
/// its setting for an object id.
async fn by_id(pod: &Examined, session: &mut Session<'_>, driver: Driver) {
    let client_id = pod.identity.client_id.as_str();
    let answer = session.ask("managed", driver.resource, Some(client_id));
    match answer.await {
        Answer::Token { token, .. } => assert_is_for(&token, client_id, driver.resource),
        error => panic!("{}: {error:?}", driver.title),
    };
}

/// Where the driver gets its token in mode `environment`, with its setting for the endpoint.
async fn in_mode_environment(driver: Driver) -> &'static str {
    let pod = start_in_mode_environment(driver).await;
    let mut session = Session::start(&pod, BARE);
    match session.ask("managed", driver.resource, None).await {
        Answer::Error { text, .. } => {
            eprintln!("{} in mode environment: {text}", driver.title);
            "gets no token"
        }
        Answer::Token { token, .. } => {
            let claims = Jwt::parse(&token).expect("the token is a JWT").claims;
            if claims["appid"] == NODE_CLIENT_ID {
                return "**reaches the node's IMDS**";
            }
            assert_is_for(&token, &pod.identity.client_id, driver.resource);
            let log = pod.namespace.log(NAME, "azwi-proxy").await;
            match (log.contains(driver.resource), driver.endpoint) {
                (false, _) => "asks Entra itself",
                (true, None) => "asks the proxy",
                (true, Some(_)) => {
                    "asks the proxy, [by its setting](restricted-namespaces.md#what-containers-get)"
                }
            }
        }
    }
}

/// Starts the driver in a container as the webhook completes it.
async fn start_in_mode_environment(driver: Driver) -> Examined {
    let (namespace, identity) = Namespace::with_identity("driver").await;
    let container = trusting(application(BARE, CLIENT));
    let container = match driver.endpoint {
        Some(name) => container.env(name, ENDPOINT),
        None => container,
    };
    let pod = Pod::new(NAME)
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "environment")
        .container(container);
    Examined::run(namespace, identity, with_client(pod, driver.folder)).await
}
