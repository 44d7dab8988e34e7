//! The proxy's API: the one place that knows HTTP paths, statuses and bodies.
//!
//! [`Api`] routes a request to readiness, the end of the proxy ([`quit`]), App Service's endpoint ([`app_service`]),
//! IMDS's token endpoint ([`imds`]) or the relay. All errors get their HTTP status in [`error`].

mod answer;
pub mod app_service;
pub mod error;
pub mod imds;
mod metadata_header;
mod metrics;
mod queries;
pub mod quit;
pub mod readiness;
pub mod refusal;
mod refusals;
#[cfg(test)]
mod testing;
mod view;

pub use self::view::View;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, HOST, HeaderValue};
use http::{Method, Request, Response, Version};
use http_body_util::{Either, Full};
use prometheus_client::registry::Registry;
use service_kit::listener::{HeadError, RequestBody, Service};
use tracing::debug;

use self::answer::Answer;
use self::app_service::Secret;
use self::error::ApiError;
use self::imds::Decision;
use self::metrics::Requests;
use self::queries::{Queries, Query};
use self::quit::Quit;
use self::readiness::Readiness;
use self::refusal::Refusal;
use self::refusals::{Asked, Refusals};
use self::view::Protocol;
use crate::identity::{Identities, IdentityError, object_id};
use crate::redact::short;
use crate::relay::{self, Relay, RelayError};
use crate::token::{Clock, Exchange, Source, SystemClock, Tokens, Wanted};

/// The settings of the API.
#[derive(Debug)]
pub struct Config {
    /// The secret of App Service's endpoint; without one there is no such endpoint.
    pub app_service: Option<Secret>,
    /// The pod's identities.
    pub identities: Identities,
    /// Whether IMDS is answered for, and relayed to.
    pub imds: bool,
    /// Whether the same holds for clients with a loopback address. The redirect keeps a client's own
    /// address, that of the pod, so that those have asked the proxy's port itself, perhaps from outside
    /// through `kubectl port-forward`.
    pub loopback: bool,
    /// Whether containers of the pod may end the proxy with a request.
    pub quit: bool,
}

/// The body of an answer: made here, or streamed from IMDS.
pub type Body = Either<Full<Bytes>, relay::Body>;

/// The token store with the slot that the API fills.
pub type Store<E, C = SystemClock> = Tokens<E, View, C>;

/// Answers the requests of applications and of kubelet.
#[derive(Debug)]
pub struct Api<E, C = SystemClock> {
    app_service: Option<Secret>,
    imds: bool,
    loopback: bool,
    queries: Queries,
    /// `None` where the route is off.
    quit: Option<Quit>,
    readiness: Readiness,
    refusals: Refusals,
    relay: Relay,
    requests: Requests,
    tokens: Store<E, C>,
    under_way: AtomicUsize,
}

impl<E: Exchange, C: Clock> Api<E, C> {
    /// Registers its counters. `token_file` is the service account token that readiness needs.
    pub fn new(
        config: Config,
        token_file: PathBuf,
        relay: Relay,
        tokens: Store<E, C>,
        registry: &mut Registry,
    ) -> Self {
        Self {
            app_service: config.app_service,
            imds: config.imds,
            loopback: config.loopback,
            queries: Queries::new(config.identities),
            quit: config.quit.then(Quit::default),
            readiness: Readiness::new(token_file),
            refusals: Refusals::default(),
            relay,
            requests: Requests::register(registry),
            tokens,
            under_way: AtomicUsize::new(0),
        }
    }

    /// The requests that have ended so far; `None` while one is under way.
    pub fn requests(&self) -> Option<u64> {
        let is_quiet = self.under_way.load(Ordering::Relaxed) == 0;
        is_quiet.then(|| self.requests.count())
    }

    /// `/readyz`, to report the end of the start to.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Waits until a request has asked for the end of the proxy.
    pub async fn quit(&self) {
        match &self.quit {
            Some(quit) => quit.requested().await,
            None => std::future::pending().await,
        }
    }

    /// Answers with a token, or with the reason why there is none.
    async fn token(&self, query: &str, protocol: Protocol, asked: Asked<'_>) -> Answer {
        let query = match self.queries.read(query) {
            Ok(query) => query,
            Err(Refusal::Identity(error)) => {
                return Box::pin(self.maybe_own(query, error, protocol, asked)).await;
            }
            Err(refusal) => return self.refused(&refusal, protocol, asked),
        };
        if query.wanted == Wanted::Any
            && let Some(token) = self.tokens.peek(&query.key)
        {
            self.requests.memory.inc();
            debug!(client_id = %short(&query.key.client_id), "served a token from memory");
            return protocol.token(&token);
        }
        // Boxed, so that only the requests that need it pay for its size.
        Box::pin(self.exchanged(&query, protocol)).await
    }

    /// Answers a request for an unknown identity. It may be the pod's own, by an object id that no token has
    /// said yet.
    async fn maybe_own(
        &self,
        query: &str,
        error: IdentityError,
        protocol: Protocol,
        asked: Asked<'_>,
    ) -> Answer {
        if let Some(key) = self.queries.maybe_own(query) {
            match self.tokens.get(&Arc::new(key)).await {
                Ok(served) => {
                    if let Some(id) = object_id(served.token.access_token.reveal()) {
                        self.queries.set_own_object_id(id);
                    }
                }
                Err(failure) => {
                    self.requests.failed.inc();
                    return protocol.error(&failure.into());
                }
            }
        }
        match self.queries.read(query) {
            Ok(query) => self.exchanged(&query, protocol).await,
            Err(_) => self.refused(&Refusal::Identity(error), protocol, asked),
        }
    }

    async fn exchanged(&self, query: &Query, protocol: Protocol) -> Answer {
        match self.tokens.get_wanted(&query.key, &query.wanted).await {
            Ok(served) => {
                match served.source {
                    Source::Entra => self.requests.entra.inc(),
                    Source::Memory => self.requests.memory.inc(),
                    Source::Stale => self.requests.stale.inc(),
                };
                protocol.token(&served.token)
            }
            Err(failure) => {
                self.requests.failed.inc();
                protocol.error(&failure.into())
            }
        }
    }

    async fn app_service(&self, secret: &Secret, request: &Request<RequestBody>) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        let asked = asked(request);
        match app_service::check(secret, request.method(), query, request.headers()) {
            Ok(version) => {
                self.token(query, Protocol::AppService(version), asked)
                    .await
            }
            Err(refusal) => {
                let protocol = Protocol::AppService(app_service::Version::V2019);
                self.refused(&refusal, protocol, asked)
            }
        }
    }

    fn quit_requested(
        &self,
        quit: &Quit,
        request: &Request<RequestBody>,
        client: SocketAddr,
    ) -> Answer {
        let (method, headers) = (request.method(), request.headers());
        let is_loopback_refused = self.is_refused(client);
        match quit::check(
            method,
            headers,
            self.app_service.as_ref(),
            is_loopback_refused,
        ) {
            Ok(()) => {
                quit.request();
                answer::json(quit::BODY)
            }
            Err(refusal) => {
                let mut answer = self.refused(&refusal, Protocol::Imds, asked(request));
                if refusal == Refusal::QuitMethod {
                    let post = HeaderValue::from_static("POST");
                    answer.headers_mut().insert(ALLOW, post);
                }
                answer
            }
        }
    }

    /// Whether a client asked the proxy's port itself, where only the redirect may lead.
    fn is_refused(&self, client: SocketAddr) -> bool {
        !self.loopback && client.ip().is_loopback()
    }

    async fn relayed(&self, request: Request<RequestBody>, client: SocketAddr) -> Response<Body> {
        self.requests.relayed.inc();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        match self.relay.forward(request, client).await {
            Ok(response) => response.map(Either::Right),
            Err(RelayError::NotAllowed) => {
                let (method, uri) = (&method, &uri);
                let asked = Some(Asked { method, uri });
                self.refusals.log(&Refusal::NotRelayed, asked);
                imds::error(&RelayError::NotAllowed.into()).map(Either::Left)
            }
            Err(error) => imds::error(&error.into()).map(Either::Left),
        }
    }

    fn refused(&self, refusal: &Refusal, protocol: Protocol, asked: Asked<'_>) -> Answer {
        match refusal {
            Refusal::NoMetadataHeader => self.requests.probe.inc(),
            _ => self.requests.refused.inc(),
        };
        self.refusals.log(refusal, Some(asked));
        protocol.error(&ApiError::from(refusal))
    }
}

impl<E: Exchange, C: Clock> Service for Api<E, C> {
    type Body = Body;

    async fn answer(&self, request: Request<RequestBody>, client: SocketAddr) -> Response<Body> {
        let _under_way = UnderWay::new(&self.under_way);
        let (uri, asked) = (request.uri(), asked(&request));
        let answer = match &self.app_service {
            _ if !has_one_host(&request) => self.refused(&Refusal::Host, Protocol::Imds, asked),
            _ if is_readiness(&request) => self.readiness.answer(),
            _ if let Some(quit) = &self.quit
                && quit::is_route(uri.path()) =>
            {
                self.quit_requested(quit, &request, client)
            }
            Some(secret) if app_service::is_endpoint(uri.path()) => {
                Box::pin(self.app_service(secret, &request)).await
            }
            _ if !self.imds => self.refused(&Refusal::NoImds, Protocol::Imds, asked),
            _ => match imds::decide(request.method(), uri.path(), uri.query(), request.headers()) {
                Decision::Refuse(refusal) => self.refused(&refusal, Protocol::Imds, asked),
                _ if self.is_refused(client) => {
                    self.refused(&Refusal::Loopback, Protocol::Imds, asked)
                }
                Decision::Token(query) => self.token(query, Protocol::Imds, asked).await,
                Decision::Relay => return Box::pin(self.relayed(request, client)).await,
            },
        };
        answer.map(Either::Left)
    }

    fn refuse(&self, error: HeadError) -> Response<Bytes> {
        let refusal = match error {
            HeadError::NotHttp => Refusal::NotHttp,
            HeadError::TooLarge => Refusal::TooLarge,
        };
        self.refusals.log(&refusal, None);
        let answer = imds::error(&ApiError::from(&refusal));
        answer.map(|body| body.into_inner().unwrap_or_default())
    }
}

/// A request that has no answer yet.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn asked(request: &Request<RequestBody>) -> Asked<'_> {
    Asked {
        method: request.method(),
        uri: request.uri(),
    }
}

/// A success of CONNECT would turn the connection into a tunnel.
fn is_readiness(request: &Request<RequestBody>) -> bool {
    readiness::is_route(request.uri().path()) && request.method() != Method::CONNECT
}

/// RFC 9112, section 3.2. HTTP/1.0 requires no `Host`.
fn has_one_host(request: &Request<RequestBody>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}
