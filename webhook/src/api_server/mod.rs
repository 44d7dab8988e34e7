//! The client of the API server.
//!
//! - `slim`: cuts answers about service accounts down to the few fields that are read, while they arrive.
//! - `watches`: delays the next request of a watch that ended at once.

mod slim;
mod watches;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use kube::client::Body;
use kube::{Client, Config};
use tower_service::Service;

use slim::SlimBody;
use watches::Watches;

/// A client with these settings. Audit logs of the API server name it by `user_agent`.
///
/// # Errors
///
/// When the settings cannot be used, for example because a file is missing.
pub fn client(mut config: Config, user_agent: &'static str) -> Result<Client, kube::Error> {
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(user_agent)));
    let namespace = config.default_namespace.clone();
    let bounded = BoundedClient {
        client: Client::try_from(config)?,
        watches: Arc::default(),
    };
    Ok(Client::new(bounded, namespace))
}

/// A client that bounds the memory of answers and the rate of watches.
struct BoundedClient {
    client: Client,
    watches: Arc<Watches>,
}

impl Service<Request<Body>> for BoundedClient {
    type Response = Response<SlimBody>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), kube::Error>> {
        // `send` waits until the client is ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (client, watches) = (self.client.clone(), Arc::clone(&self.watches));
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let is_watch = is_watch(&request);
            if is_watch {
                watches.turn(&path).await;
            }
            let response = client.send(request).await?;
            let is_ok = response.status().is_success();
            if is_watch && is_ok {
                watches.opened(&path);
            }
            let is_slimmed = is_ok && path.split('/').any(|part| part == ACCOUNTS);
            Ok(response.map(|body| SlimBody::new(body, is_slimmed)))
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut parameters = query.split('&');
    request.method() == Method::GET && parameters.any(|it| it == "watch=true")
}

/// The user agent of the webhook.
pub const USER_AGENT: &str = concat!(
    "azure-workload-identity-webhook/",
    env!("CARGO_PKG_VERSION")
);

const ACCOUNTS: &str = "serviceaccounts";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn requests_name_the_webhook_and_its_version() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let client = client(Config::new(uri.parse().unwrap()), USER_AGENT).unwrap();
        tokio::spawn(async move { client.apiserver_version().await });
        let (stream, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let agent = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(agent) = line.strip_prefix("user-agent: ") {
                break agent.to_owned();
            }
        };
        assert_eq!(
            agent,
            format!("azure-workload-identity-webhook/{}", contract::VERSION)
        );
    }
}
