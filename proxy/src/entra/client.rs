//! The exchange: one request, its retries and its log lines.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use reqwest::{Url, redirect};
use service_kit::log_rate::{Line, LogRate};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::advice::{Context, explain};
use super::assertion::{Assertion, Presented};
use super::binding::{Authority, Binding, FromFile, ServerName};
use super::class::Class;
use super::egress::Egress;
use super::metrics::Exchanges;
use super::reply::{self, Rejection};
use super::resolver::LimitedResolver;
use super::retry;
use super::retry_after::retry_after;
use super::roots::{Roots, RootsError};
use super::settings::Settings;
use crate::redact::{guids, short};
use crate::token::{BUDGET, Exchange, ExchangeError, ExchangeErrorKind, Granted, Key};

/// A client of Entra's token endpoint, or of the token proxy of an identity binding. It keeps its
/// connections open.
#[derive(Debug)]
pub struct Client {
    failures: LogRate,
    http: Http,
    host: Option<HeaderValue>,
    metrics: Exchanges,
    settings: Settings,
    successes: LogRate,
    url: Url,
}

/// The settings of the client.
#[derive(Debug)]
pub struct Config {
    /// Identity bindings, if they are used: every request then goes to their token proxy.
    pub binding: Option<Binding>,
    /// The egress proxy before Entra, if there is one.
    pub egress: Option<Egress>,
    /// The authorities that Entra's certificate may come from.
    pub roots: Roots,
    /// The tenant, its authority and the token file.
    pub settings: Settings,
}

/// Why the client cannot be made.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The HTTP library refuses its settings.
    #[error("cannot set up the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The certificates cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

#[derive(Debug)]
enum Http {
    Fixed(reqwest::Client),
    FromFile {
        made: FromFile,
        path: std::path::PathBuf,
        server_name: Option<ServerName>,
    },
}

impl Client {
    /// A client of Entra, or of the token proxy of an identity binding, which is reached without the
    /// egress proxy and has its own certificate authority. Registers its metrics.
    ///
    /// # Errors
    ///
    /// The HTTP library refuses the settings.
    pub fn new(config: Config, registry: &mut Registry) -> Result<Self, ClientError> {
        let Config {
            binding,
            egress,
            roots,
            settings,
        } = config;
        let mut url = settings.endpoint.clone();
        let mut host = None;
        let http = match binding {
            None => Http::Fixed(outside(egress.as_ref(), roots)?),
            Some(binding) => {
                host = authority_of(&url);
                url = binding.instead_of(&url);
                let server_name = binding.server_name;
                match binding.authority {
                    Authority::BuiltIn => Http::Fixed(in_cluster(server_name, roots)?),
                    Authority::Data(roots) => Http::Fixed(in_cluster(server_name, roots)?),
                    Authority::File(path) => Http::FromFile {
                        made: FromFile::default(),
                        path,
                        server_name,
                    },
                }
            }
        };
        Ok(Self {
            failures: LogRate::default(),
            http,
            host,
            metrics: Exchanges::register(registry),
            settings,
            successes: LogRate::default(),
            url,
        })
    }

    /// The same, for a program without metrics.
    ///
    /// # Errors
    ///
    /// The HTTP library refuses the settings.
    pub fn without_metrics(config: Config) -> Result<Self, ClientError> {
        Self::new(config, &mut Registry::default())
    }

    /// Opens a connection and leaves it in the pool, so that the first exchange costs one round trip.
    /// Any answer counts.
    pub async fn warm_up(&self) {
        let mut url = self.url.clone();
        url.set_path("/");
        let opened = async {
            let request = self.http()?.head(url);
            Ok::<_, ClientError>(self.with_host(request).send().await?)
        };
        match timeout(WARM_UP, opened).await {
            Ok(Ok(_)) => debug!("connected to the authority"),
            Ok(Err(error)) => {
                warn!(error = chain(&error), "no connection to the authority yet");
            }
            Err(_) => warn!("no connection to the authority yet"),
        }
    }

    /// One exchange of this assertion, without another attempt.
    ///
    /// # Errors
    ///
    /// There is no token: Entra's reason, or that of the connection.
    pub async fn attempt(
        &self,
        key: &Key,
        assertion: &Assertion,
    ) -> Result<Granted, Box<Rejection>> {
        let request_id = Uuid::new_v4();
        let started = Instant::now();
        let exchanged = self.send(key, assertion, request_id);
        let exchanged = match timeout(retry::ATTEMPT, exchanged).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(unreachable_authority(format!(
                "{} gave no answer in {} s",
                self.url.host_str().unwrap_or_default(),
                retry::ATTEMPT.as_secs()
            ))),
        };
        let took = started.elapsed();
        let client_id = short(&key.client_id);
        let resource = &key.resource;
        match &exchanged {
            Ok(granted) => {
                self.metrics.observe(200, None, took);
                if let Some(Line { suppressed }) = self.successes.line() {
                    info!(
                        %client_id, %resource, client_request_id = %request_id,
                        expires_in = granted.expires_in.as_secs(), ms = took.as_millis(), suppressed,
                        "successfully acquired token"
                    );
                }
            }
            Err(rejection) => {
                self.metrics.observe(rejection.status, rejection.code, took);
                if let Some(Line { suppressed }) = self.failures.line() {
                    warn!(
                        %client_id, %resource, client_request_id = %request_id,
                        status = rejection.status, error = rejection.error,
                        code = rejection.code, trace_id = rejection.trace_id,
                        correlation_id = rejection.correlation_id, ms = took.as_millis(),
                        description = guids(&rejection.description).to_string(), suppressed,
                        "no token from the authority"
                    );
                }
            }
        }
        exchanged
    }

    async fn send(
        &self,
        key: &Key,
        assertion: &Assertion,
        request_id: Uuid,
    ) -> Result<Granted, Box<Rejection>> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            unreachable_authority(format!("the authority cannot be reached: {}", chain(error)))
        };
        let http = self.http().map_err(|error| failed(&error))?;
        let request = http
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("client-request-id", request_id.to_string())
            .header("x-ms-lib-capability", "retry-after, h429")
            .body(form(key, assertion));
        let response = self.with_host(request).send().await;
        let response = response.map_err(|error| failed(&error.without_url()))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let body = body(response)
            .await
            .map_err(|error| failed(&error.without_url()))?;
        reply::parse(status, retry_after, &body, assertion.reveal())
    }

    fn http(&self) -> Result<reqwest::Client, ClientError> {
        match &self.http {
            Http::Fixed(client) => Ok(client.clone()),
            Http::FromFile {
                made,
                path,
                server_name,
            } => made.client(path, |roots| in_cluster(server_name.clone(), roots)),
        }
    }

    fn with_host(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.host {
            Some(host) => request.header(HOST, host),
            None => request,
        }
    }

    fn failure(&self, key: &Key, presented: &Presented, rejection: &Rejection) -> ExchangeError {
        let context = Context {
            client_id: &key.client_id,
            tenant_id: &self.settings.tenant_id,
            resource: &key.resource,
            presented,
        };
        let description = match rejection.class {
            Class::Transient if rejection.code.is_none() => rejection.description.clone(),
            _ => explain(&rejection.description, rejection.code, &context),
        };
        let kind = rejection.class.kind();
        ExchangeError {
            kind,
            error: rejection.error.clone(),
            description,
            retry_after: rejection
                .retry_after
                .filter(|_| kind != ExchangeErrorKind::Permanent),
        }
    }
}

impl Exchange for Client {
    async fn exchange(&self, key: &Key, deadline: Instant) -> Result<Granted, ExchangeError> {
        let mut attempts = 0;
        loop {
            let assertion = Assertion::read(&self.settings.token_file).map_err(|error| {
                if let Some(Line { suppressed }) = self.failures.line() {
                    warn!(%error, suppressed, "no service account token to present");
                }
                ExchangeError::transient(error.to_string())
            })?;
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let attempt = timeout(left, self.attempt(key, &assertion)).await;
            let rejection = match attempt {
                Ok(Ok(granted)) => return Ok(granted),
                Ok(Err(rejection)) => rejection,
                Err(_) => unreachable_authority(format!(
                    "the authority gave no answer in {} s",
                    BUDGET.as_secs()
                )),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let (class, retry_after) = (rejection.class, rejection.retry_after);
            match retry::pause(class, attempts, retry_after, fastrand::f64(), left) {
                Some(pause) => sleep(pause).await,
                None => return Err(self.failure(key, &assertion.presented(), &rejection)),
            }
        }
    }
}

fn builder(roots: Roots) -> Result<reqwest::ClientBuilder, ClientError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(roots.client_config()?)
        .http1_only()
        // reqwest ignores invalid proxies in the environment. `Egress` reports them.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .dns_resolver(Arc::new(LimitedResolver::default()))
        .tcp_keepalive(KEEP_ALIVE)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE))
}

/// A client of Entra, and of other servers outside of the cluster. It follows no redirect.
///
/// # Errors
///
/// The HTTP library refuses the settings.
pub fn outside(egress: Option<&Egress>, roots: Roots) -> Result<reqwest::Client, ClientError> {
    let mut builder = builder(roots)?;
    if let Some(egress) = egress {
        builder = builder.proxy(egress.proxy()?);
    }
    Ok(builder.build()?)
}

/// A client of a server in the cluster, which is reached without the egress proxy.
fn in_cluster(
    server_name: Option<ServerName>,
    roots: Roots,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = builder(roots)?;
    if let Some(server_name) = server_name {
        builder = builder.dns_resolver(Arc::new(server_name));
    }
    Ok(builder.build()?)
}

/// The five documented parameters of a client credentials request with a federated credential.
/// Entra takes the text before the scope's last slash as the resource, so a slash at the resource's end
/// stays.
fn form(key: &Key, assertion: &Assertion) -> String {
    const DEFAULT: &str = "/.default";
    let resource = &key.resource;
    let suffix = if resource.ends_with(DEFAULT) {
        ""
    } else {
        DEFAULT
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("client_assertion", assertion.reveal())
        .append_pair(
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )
        .append_pair("client_id", &key.client_id)
        .append_pair("grant_type", "client_credentials")
        .append_pair("scope", &format!("{resource}{suffix}"));
    if let Some(claims) = &key.claims {
        form.append_pair("claims", claims);
    }
    form.finish()
}

/// The body, or nothing if it is larger than any answer of Entra.
///
/// # Errors
///
/// The connection ends before the body does.
pub async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            body.clear();
            break;
        }
    }
    Ok(body)
}

fn authority_of(url: &Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    host.parse().ok()
}

fn unreachable_authority(description: String) -> Box<Rejection> {
    Box::new(Rejection {
        status: 0,
        class: Class::Transient,
        error: "service_unavailable".to_owned(),
        description,
        code: None,
        retry_after: None,
        trace_id: None,
        correlation_id: None,
    })
}

/// An error and its sources in one line, with advice about certificates.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    let advice = CERTIFICATE_ADVICE
        .iter()
        .find(|(part, _)| line.contains(part));
    if let Some((_, advice)) = advice {
        line.push_str(advice);
    }
    line
}

/// Advice about a certificate, by a part of rustls's message.
const CERTIFICATE_ADVICE: [(&str, &str); 4] = [
    (
        "UnknownIssuer",
        " (the certificate's authority is not trusted here: give its certificate to the webhook, or \
         set SSL_CERT_FILE or AZWI_CA_DATA)",
    ),
    (
        "certificate expired",
        " (compare the node's clock with the real time; if it is right, the server's certificate has \
         to be renewed)",
    ),
    (
        "certificate not valid yet",
        " (compare the node's clock with the real time)",
    ),
    (
        "certificate not valid for name",
        " (is AZURE_AUTHORITY_HOST right, and does an egress proxy answer in its place?)",
    ),
];

/// Shorter than an attempt, and enough for two addresses in turn.
const CONNECT: Duration = Duration::from_secs(4);
/// Azure's load balancers drop a connection after four idle minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const POOL_IDLE: Duration = Duration::from_secs(180);
/// As many exchanges run at once, so that a burst of them costs no handshakes.
const POOL_SIZE: usize = 16;
/// A connection that takes longer is left to the first exchange.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// In bytes.
const LARGEST_ANSWER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(resource: &str) -> String {
        let key = Key {
            client_id: "c".into(),
            resource: resource.into(),
            claims: None,
        };
        let file = std::env::temp_dir().join(format!("assertion-{}", Uuid::new_v4()));
        std::fs::write(&file, "a.b.c\n").unwrap();
        let form = form(&key, &Assertion::read(&file).unwrap());
        std::fs::remove_file(file).unwrap();
        assert!(form.starts_with("client_assertion=a.b.c&client_assertion_type=urn%3Aietf"));
        let scope = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "scope");
        scope.unwrap().1.into_owned()
    }

    #[test]
    fn the_scope_keeps_the_slash_of_the_resource() {
        for (resource, wanted) in [
            (
                "https://vault.azure.net",
                "https://vault.azure.net/.default",
            ),
            (
                "https://database.windows.net/",
                "https://database.windows.net//.default",
            ),
            (
                "https://vault.azure.net/.default",
                "https://vault.azure.net/.default",
            ),
            ("api://guid", "api://guid/.default"),
        ] {
            assert_eq!(scope(resource), wanted);
        }
    }
}
