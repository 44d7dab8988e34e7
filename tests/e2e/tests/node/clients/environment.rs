//! Where every client gets its tokens in mode `environment`, without a redirect.

use azure_emulator::{Jwt, NODE_CLIENT_ID, Resource};
use contract::annotation;
use e2e::client::{client_volume, with_common_volumes};
use e2e::{Namespace, Pod, control};

use super::Client;
use super::pod::{Examined, NAME, application, trusting};
use super::session::{Answer, Session};
use super::table::{self, ENVIRONMENT};

/// Compares each client's result with its row in docs/sdk-compatibility.md, or writes the row.
pub async fn check(clients: &[Client]) {
    let pod = start(clients).await;
    for client in clients {
        let container = container_name(client);
        let mut session = Session::start(&pod, &container);
        let managed = way(&pod, &mut session, client, "managed").await;
        let default = if client.finds {
            way(&pod, &mut session, client, "default").await
        } else {
            "has none"
        };
        let row = format!("| {} | {managed} | {default} |", client.title);
        table::check(&ENVIRONMENT, client.title, row);
    }
}

/// Where the client gets its token, for one kind of credential.
async fn way(
    pod: &Examined,
    session: &mut Session<'_>,
    client: &Client,
    way: &str,
) -> &'static str {
    // A resource of its own, so that the emulator's log shows which client requested it.
    let resource = format!("api://{way}-{}", container_name(client));
    let known = Resource {
        identifiers: vec![resource.clone()],
    };
    let added = control().add_resource(&known).await;
    added.expect("the emulator takes a resource");
    match session.ask(way, &resource, None).await {
        Answer::Error { text, .. } => {
            eprintln!("{} {way}: {text}", client.title);
            "gets no token"
        }
        Answer::Token { token, expires_on } => {
            let claims = Jwt::parse(&token).expect("the token is a JWT").claims;
            if claims["appid"] == NODE_CLIENT_ID {
                return "**reaches the node's IMDS**";
            }
            assert_eq!(claims["appid"], pod.identity.client_id, "{claims}");
            let log = pod.namespace.log(NAME, "azwi-proxy").await;
            if log.contains(&resource) && expires_on.is_none() {
                "asks the proxy, misreads the expiry"
            } else if log.contains(&resource) {
                "asks the proxy"
            } else {
                "asks Entra itself"
            }
        }
    }
}

/// A pod with a container for each client, as the webhook completes it.
async fn start(clients: &[Client]) -> Examined {
    let (namespace, identity) = Namespace::with_identity("mode").await;
    let pod = Pod::new(NAME)
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "environment");
    let pod = clients
        .iter()
        .fold(with_common_volumes(pod), |pod, client| {
            let name = container_name(client);
            let container = trusting(application(&name, &name));
            pod.container(container)
                .volume(client_volume(&name, client.folder))
        });
    Examined::run(namespace, identity, pod).await
}

fn container_name(client: &Client) -> String {
    client.folder.replace(['.', '_'], "-")
}
