//! What the proxy does before it is ready, in pods that ask for it: it gets tokens that the application then
//! finds in memory (annotation `proxy-prefetch`), and checks that the identity works (`proxy-verify`).
//!
//! Readiness holds the application back meanwhile. A federated credential that was just created takes a
//! while to propagate, so failures of every kind are retried until the time is over.

use std::sync::Arc;
use std::time::Duration;

use contract::annotation;
use contract::value::Verify;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::identity::{Identities, Identity, IdentityError};
use crate::redact::guids;
use crate::token::{Clock, Exchange, ExchangeError, Key, Tokens};

/// What a pod asks for.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The resources whose tokens are to be in memory.
    pub prefetch: Vec<String>,
    /// What a failed check of the identity means.
    pub verify: Option<Verify>,
}

/// The tokens to get before the proxy is ready.
#[derive(Debug)]
pub struct Startup {
    client_id: Result<Box<str>, IdentityError>,
    fetches: Fetches,
    /// Whether the application is expected to ask for the tokens.
    is_prefetch: bool,
    resources: Vec<String>,
    verify: Option<Verify>,
}

/// There is no token in a pod whose application does not start without one.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the application does not start, because annotation {key} is \"{verify}\" and {0}",
    key = annotation::PROXY_VERIFY,
    verify = Verify::Enforce
)]
pub struct UnverifiedError(String);

/// The state of one resource's token.
#[derive(Debug)]
enum Fetch {
    Granted,
    Missing { reason: String },
}

impl Startup {
    /// Registers its counter. To verify the identity of a pod without prefetched resources, a token for
    /// `resource_manager` is requested.
    #[must_use]
    pub fn new(
        config: Config,
        resource_manager: &str,
        identities: &Identities,
        registry: &mut Registry,
    ) -> Self {
        let Config { prefetch, verify } = config;
        let is_prefetch = !prefetch.is_empty();
        let mut resources = prefetch;
        if !is_prefetch && verify.is_some() {
            resources.push(resource_manager.to_owned());
        }
        Self {
            client_id: identities.client_id(&Identity::Default).map(Into::into),
            fetches: Fetches::register(registry),
            is_prefetch,
            resources,
            verify,
        }
    }

    /// Whether the pod asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Gets the tokens, and ends when all are in memory or the time is over: [`PREFETCH`], or [`ENFORCE`] for
    /// the first token of a pod that does not start without one. `waiting_for` gets each new reason of the
    /// wait, in one line.
    ///
    /// # Errors
    ///
    /// There is no token in a pod that does not start without one.
    pub async fn run<E, V, C>(
        &self,
        tokens: &Tokens<E, V, C>,
        waiting_for: impl Fn(String),
    ) -> Result<(), UnverifiedError>
    where
        E: Exchange,
        V: Default + Send + Sync + 'static,
        C: Clock,
    {
        let begin = Instant::now();
        let fetches = match &self.client_id {
            Ok(client_id) => {
                let keys = self.keys(client_id);
                waiting_for(format!(
                    "waiting for a token for {}",
                    self.resources.join(", ")
                ));
                let fetches = self.fetch(&keys, tokens, begin, waiting_for).await;
                if !self.is_prefetch {
                    keys.iter().for_each(|key| tokens.forget_unused(key));
                }
                fetches
            }
            Err(error) => {
                let reason = error.to_string();
                let missing = |_| Fetch::Missing {
                    reason: reason.clone(),
                };
                self.resources.iter().map(missing).collect()
            }
        };
        self.finish(&fetches, begin.elapsed())
    }

    fn keys(&self, client_id: &str) -> Vec<Arc<Key>> {
        let resources = self.resources.iter();
        let keys = resources.map(|resource| Key {
            client_id: client_id.into(),
            resource: resource.as_str().into(),
            claims: None,
        });
        keys.map(Arc::new).collect()
    }

    async fn fetch<E, V, C>(
        &self,
        keys: &[Arc<Key>],
        tokens: &Tokens<E, V, C>,
        begin: Instant,
        waiting_for: impl Fn(String),
    ) -> Vec<Fetch>
    where
        E: Exchange,
        V: Default + Send + Sync + 'static,
        C: Clock,
    {
        let (sender, mut outcomes): (_, UnboundedReceiver<Outcome>) = unbounded_channel();
        let mut attempts = JoinSet::new();
        let mut fetches = Vec::with_capacity(keys.len());
        for (nth, key) in keys.iter().enumerate() {
            attempts.spawn(attempt(
                tokens.clone(),
                Arc::clone(key),
                nth,
                sender.clone(),
            ));
            let reason = "Entra has not answered yet".to_owned();
            fetches.push(Fetch::Missing { reason });
        }
        while fetches.iter().any(|fetch| !fetch.is_granted()) {
            let until = begin + self.bound(&fetches);
            let Ok(Some((nth, outcome))) = timeout_at(until, outcomes.recv()).await else {
                break;
            };
            if let (Some(fetch), Some(key)) = (fetches.get_mut(nth), keys.get(nth)) {
                *fetch = outcome.into();
                if let Fetch::Missing { reason } = fetch {
                    waiting_for(format!("no token for {} yet: {reason}", key.resource));
                }
            }
        }
        fetches
    }

    /// How long to wait for the tokens that are missing.
    fn bound(&self, fetches: &[Fetch]) -> Duration {
        let is_verified = fetches.iter().any(Fetch::is_granted);
        if self.verify == Some(Verify::Enforce) && !is_verified {
            ENFORCE
        } else {
            PREFETCH
        }
    }

    /// Reports the tokens, and decides whether the application may start.
    fn finish(&self, fetches: &[Fetch], took: Duration) -> Result<(), UnverifiedError> {
        let is_verified = fetches.iter().any(Fetch::is_granted);
        let seconds = took.as_secs();
        for (resource, fetch) in self.resources.iter().zip(fetches) {
            let Fetch::Missing { reason } = fetch else {
                self.fetches.granted.inc();
                continue;
            };
            self.fetches.failed.inc();
            if self.verify == Some(Verify::Enforce) && !is_verified {
                let sentence =
                    format!("there is no token for {resource} after {seconds} s: {reason}");
                return Err(UnverifiedError(sentence));
            }
            let reason = guids(reason);
            warn!(%resource, seconds, %reason, "the application starts without a token");
        }
        if is_verified {
            info!(
                ms = took.as_millis(),
                "got tokens before the application starts"
            );
        }
        Ok(())
    }
}

impl UnverifiedError {
    /// The sentence for the log, with identifiers shortened (law 8).
    pub(crate) fn for_log(&self) -> String {
        guids(&self.to_string()).to_string()
    }
}

impl Fetch {
    fn is_granted(&self) -> bool {
        matches!(self, Self::Granted)
    }
}

impl From<Result<(), ExchangeError>> for Fetch {
    fn from(outcome: Result<(), ExchangeError>) -> Self {
        match outcome {
            Ok(()) => Self::Granted,
            Err(error) => {
                let reason = error.to_string().replace("\r\n", " ");
                Self::Missing {
                    reason: reason.replace(['\r', '\n'], " "),
                }
            }
        }
    }
}

/// The position of a key, and whether its token is in memory.
type Outcome = (usize, Result<(), ExchangeError>);

/// Tries until there is a token, and reports each outcome.
async fn attempt<E, V, C>(
    tokens: Tokens<E, V, C>,
    key: Arc<Key>,
    nth: usize,
    outcomes: UnboundedSender<Outcome>,
) where
    E: Exchange,
    V: Default + Send + Sync + 'static,
    C: Clock,
{
    loop {
        let outcome = tokens.fetch(&key).await;
        let pause = outcome
            .as_ref()
            .err()
            .map(|error| error.retry_after.unwrap_or_default());
        // The receiver is gone when the time is over, and this task with it.
        let _ = outcomes.send((nth, outcome));
        match pause {
            Some(pause) => sleep(pause.max(PAUSE)).await,
            None => return,
        }
    }
}

/// `azwi_proxy_startup_fetches_total{outcome}`.
#[derive(Debug)]
struct Fetches {
    /// `failed`: the application started without it, or not at all.
    failed: Counter,
    /// `granted`: in memory before the application started.
    granted: Counter,
}

impl Fetches {
    fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::<FetchOutcome, Counter>::default();
        let help = "Tokens that were to be there before the application starts, by how that ended";
        registry.register("startup_fetches", help, outcomes.clone());
        let counter = |outcome| outcomes.get_or_create_owned(&FetchOutcome { outcome });
        Self {
            failed: counter("failed"),
            granted: counter("granted"),
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct FetchOutcome {
    outcome: &'static str,
}

/// How long the application waits for prefetched tokens, and for one that is only reported if it is missing.
pub const PREFETCH: Duration = Duration::from_secs(10);

/// How long the application waits for a first token without which it does not start. With the start of the
/// proxy it stays below the default of `--probe-timeout`.
pub const ENFORCE: Duration = Duration::from_secs(30);

/// The pause between two attempts. A failure that is remembered costs no exchange.
const PAUSE: Duration = Duration::from_millis(500);
