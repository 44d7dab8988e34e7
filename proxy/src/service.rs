//! What the sidecar answers: tokens, readiness, and IMDS behind it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use http::{Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use tracing::{debug, info};

use crate::app_service::{self, Secret};
use crate::imds::{Answer, Decision, Identity, Refusal, TokenRequest, decide};
use crate::metrics::Metrics;
use crate::redact::short;
use crate::relay::Relay;
use crate::server::{Body, Service};
use crate::token::{Clock, Exchange, Failure, FailureKind, Key, Source, Tokens};

/// The sidecar's service.
#[derive(Debug)]
pub struct Sidecar<E, C> {
    /// The secret of App Service's endpoint, if there is one.
    pub app_service: Option<Secret>,
    /// Whether IMDS is answered for, and relayed to.
    pub imds: bool,
    /// Whose tokens are given.
    pub keys: Keys,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When it is ready.
    pub readiness: Readiness,
    /// Where the rest goes.
    pub relay: Relay,
    /// The tokens.
    pub tokens: Tokens<E, C>,
}

/// The pod's identities.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// The client id for requests that name no identity.
    pub default: Option<String>,
    /// Client ids by object id or resource id in lower case, as Azure compares them.
    pub by_id: HashMap<String, String>,
}

/// What queries ask for. An application sends the same few over and over, so they are remembered.
#[derive(Debug)]
pub struct Keys {
    identities: Identities,
    seen: RwLock<HashMap<Box<str>, Arc<Key>>>,
}

/// Whether `/readyz` says `ok`.
#[derive(Debug)]
pub struct Readiness {
    asked: AtomicBool,
    started: AtomicBool,
    token_file: PathBuf,
}

/// Answers `/metrics`.
#[derive(Debug)]
pub struct Scrapes(pub Arc<Metrics>);

impl<E: Exchange, C: Clock> Service for Sidecar<E, C> {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let uri = request.uri();
        if let Some(secret) = &self.app_service
            && app_service::is_endpoint(uri.path())
        {
            let answer = Box::pin(self.app_service(secret, &request)).await;
            return answer.into_response().map(Either::Left);
        }
        if !self.imds && uri.path() != READY {
            let answer = self.refuse(&Refusal::NoImds);
            return answer.into_response().map(Either::Left);
        }
        let answer = match decide(request.method(), uri.path(), uri.query(), request.headers()) {
            Decision::Token(query) => self.asked(query).await,
            Decision::Refuse(refusal) => self.refuse(&refusal),
            Decision::Relay if uri.path() == READY => self.readiness.answer(),
            Decision::Relay => {
                self.metrics.requests.relayed.inc();
                match Box::pin(self.relay.forward(request, peer)).await {
                    Ok(response) => return response.map(Either::Right),
                    Err(answer) => answer,
                }
            }
        };
        answer.into_response().map(Either::Left)
    }
}

impl<E: Exchange, C: Clock> Sidecar<E, C> {
    async fn asked(&self, query: &str) -> Answer {
        match self.keys.of(query) {
            Ok(key) => match self.remembered(&key) {
                Some(answer) => answer,
                // What is seldom needed is kept out of each request's future.
                None => Box::pin(self.token(&key)).await,
            },
            Err(refusal) => self.refuse(&refusal),
        }
    }

    async fn app_service(&self, secret: &Secret, request: &Request<Incoming>) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        match app_service::check(secret, request.method(), query, request.headers()) {
            Ok(version) => app_service::translate(self.asked(query).await, version),
            Err(refusal) => {
                self.metrics.requests.refused.inc();
                debug!(%refusal, "refused a request");
                refusal.answer()
            }
        }
    }

    fn remembered(&self, key: &Key) -> Option<Answer> {
        let body = self.tokens.peek(key)?;
        self.metrics.requests.memory.inc();
        debug!(client_id = %short(&key.client_id), "served a token from memory");
        Some(Answer::token(body))
    }

    async fn token(&self, key: &Key) -> Answer {
        let requests = &self.metrics.requests;
        match self.tokens.get(key).await {
            Ok(served) => {
                match served.source {
                    Source::Entra => requests.entra.inc(),
                    Source::Memory => requests.memory.inc(),
                    Source::Stale => requests.stale.inc(),
                };
                Answer::token(served.body)
            }
            Err(failure) => {
                requests.failed.inc();
                failed(&failure)
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::NoMetadataHeader => self.metrics.requests.probe.inc(),
            _ => self.metrics.requests.refused.inc(),
        };
        debug!(%refusal, "refused a request");
        refusal.answer()
    }
}

impl Identities {
    /// The client id of the identity that a request asks for (IMDS R10). Never another's.
    fn client_id<'a>(&'a self, request: &'a TokenRequest<'_>) -> Result<&'a str, Refusal> {
        match &request.identity {
            Identity::Client(id) => Ok(id),
            Identity::Default => self.default.as_deref().ok_or(Refusal::NoClientId),
            Identity::Other { selector, id } => self
                .by_id
                .get(&id.to_ascii_lowercase())
                .map(String::as_str)
                .ok_or(Refusal::UnknownIdentity { selector }),
        }
    }
}

impl Keys {
    /// No query seen yet.
    pub fn new(identities: Identities) -> Self {
        Self {
            identities,
            seen: RwLock::default(),
        }
    }

    /// What a query asks for.
    fn of(&self, query: &str) -> Result<Arc<Key>, Refusal> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = seen.get(query) {
            return Ok(Arc::clone(key));
        }
        drop(seen);
        let request = TokenRequest::parse(query)?;
        let key = Arc::new(Key {
            client_id: self.identities.client_id(&request)?.into(),
            resource: request.resource.into(),
        });
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_QUERIES {
            seen.clear();
        }
        seen.insert(query.into(), Arc::clone(&key));
        Ok(key)
    }
}

impl Readiness {
    /// Not ready yet. Ready needs a service account token in `token_file`.
    pub fn new(token_file: PathBuf) -> Self {
        Self {
            asked: AtomicBool::new(false),
            started: AtomicBool::new(false),
            token_file,
        }
    }

    /// From now on it depends on the token file alone.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    fn answer(&self) -> Answer {
        if self.asked.swap(true, Ordering::Relaxed) {
            debug!("received readyz request");
        } else {
            info!("received readyz request");
        }
        let unavailable = |text: String| Answer::text(StatusCode::SERVICE_UNAVAILABLE, text);
        if !self.started.load(Ordering::Acquire) {
            return unavailable("not ready: starting".to_owned());
        }
        match std::fs::File::open(&self.token_file) {
            Ok(_) => Answer::text(StatusCode::OK, "ok"),
            Err(error) => unavailable(format!("not ready: {}: {error}", self.token_file.display())),
        }
    }
}

impl Service for Scrapes {
    async fn answer(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Body> {
        let answer = match (request.uri().path(), self.0.text()) {
            ("/metrics", Ok(text)) => Answer::typed(crate::metrics::CONTENT_TYPE, text),
            ("/metrics", Err(error)) => {
                Answer::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            _ => Answer::text(StatusCode::NOT_FOUND, "only /metrics is here"),
        };
        answer.into_response().map(Either::Left)
    }
}

/// The answer for a failure (IMDS R8): 400 is never retried by SDKs, 429 and 503 are.
fn failed(failure: &Failure) -> Answer {
    let (status, retry_after) = match failure.kind {
        FailureKind::Permanent => (StatusCode::BAD_REQUEST, None),
        FailureKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, failure.retry_after),
        FailureKind::Transient => (StatusCode::SERVICE_UNAVAILABLE, failure.retry_after),
    };
    let seconds = retry_after.map(|wait| wait.as_secs_f64().ceil() as u64);
    Answer::error(status, &failure.error, &failure.description).retry_after(seconds)
}

/// Where readiness is asked for.
const READY: &str = "/readyz";

/// How many queries are remembered.
const MAX_QUERIES: usize = 1_000;
