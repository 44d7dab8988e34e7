//! Answers reviews. [`handler`] is the HTTP around a review, [`review`] its JSON, and
//! [`crate::inject`] decides about the pod.
//!
//! This is the edge at which errors become status codes: a [`Denial`] is a 400, a [`LookupError`] a
//! 503, both inside an answer of status 200. A request that is no review is a [`handler::Refusal`].

pub mod handler;
pub mod metrics;
pub mod review;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::accounts::{Accounts, LookupError};
use crate::inject::{self, Account, Denial, Pod, Prepared, Seed};
use handler::{LargeBodies, Refusal};
use metrics::{Metrics, Outcome};
use review::{MAX_OBJECTS, Review, ReviewError, Verdict};
use tracing::info;

/// Answers reviews from the accounts in memory and the operator's settings.
#[derive(Debug)]
pub struct Admission {
    accounts: Arc<Accounts>,
    /// The operator's settings, replaced when the proxy's certificates change.
    config: ArcSwap<Prepared>,
    large_bodies: LargeBodies,
    /// JSON objects of parsed reviews with more than [`MANY_OBJECTS`].
    many_objects: Semaphore,
    metrics: Metrics,
}

impl Admission {
    /// Answers from these accounts and settings.
    pub fn new(accounts: Arc<Accounts>, config: Prepared, metrics: Metrics) -> Self {
        Self {
            accounts,
            config: ArcSwap::from_pointee(config),
            large_bodies: LargeBodies::default(),
            many_objects: Semaphore::new(MAX_OBJECTS),
            metrics,
        }
    }

    /// Replaces the settings. Reviews under way are answered from the former ones.
    pub fn update(&self, change: impl Fn(&mut inject::Config)) {
        self.config.rcu(|config| {
            let mut config = inject::Config::clone(config);
            change(&mut config);
            Prepared::from(config)
        });
    }

    /// Answers one review, nearly always only from memory.
    async fn review(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let since = Instant::now();
        let _in_flight = self.metrics.begin();
        let malformed = |_: &ReviewError| self.metrics.count(Outcome::Malformed);
        let objects = review::objects(body).inspect_err(malformed)?;
        let place = self.place(objects).await;
        let review = Review::parse(body).inspect_err(malformed)?;
        let Some(pod) = review.pod().filter(|pod| inject::is_wanted(pod)) else {
            let warnings = self.warnings_without_label(&review);
            let verdict = Verdict::Admitted { warnings };
            return self.answer(&review, &verdict, Outcome::Admitted, since);
        };
        let [namespace, name] = [review.namespace(), pod.service_account()];
        if let Some(account) = self.accounts.known(namespace, name) {
            return self.decide(&review, pod, Ok(Some(account)), since);
        }
        if place.is_none() {
            let account = self.accounts.look_up(namespace, name).await;
            return self.decide(&review, pod, account, since);
        }
        // Parsing again costs less than the memory, or than other reviews waiting for it.
        let [namespace, name] = [namespace, name].map(str::to_owned);
        drop(review);
        drop(place);
        let account = self.accounts.look_up(&namespace, &name).await;
        let _place = self.place(objects).await;
        let review = Review::parse(body).inspect_err(malformed)?;
        let pod = review.pod().ok_or(ReviewError::NoRequest)?;
        self.decide(&review, pod, account, since)
    }

    /// Waits until a review of so many objects may be parsed, `None` for one that need not wait. No
    /// review holds it while it waits for the API server.
    async fn place(&self, objects: usize) -> Option<SemaphorePermit<'_>> {
        let objects = u32::try_from(objects).ok()?;
        if objects <= MANY_OBJECTS {
            return None;
        }
        self.many_objects.acquire_many(objects).await.ok()
    }

    /// Injects the pod's identity, or refuses the pod.
    fn decide(
        &self,
        review: &Review<'_>,
        pod: &Pod<'_>,
        account: Result<Option<Account>, LookupError>,
        since: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let config = self.config.load();
        let decided = match &account {
            Ok(Some(account)) if let Some(key) = account.too_long => {
                Err(denied(Denial::long_value(pod.service_account(), key)))
            }
            Ok(Some(account)) => {
                inject::inject(pod, &config, account, &seed(pod, &config)?).map_err(denied)
            }
            Ok(None) => Err(denied(Denial::no_account(
                pod.service_account(),
                review.namespace(),
            ))),
            Err(error) => Err(failed(error)),
        };
        match decided {
            Ok(injection) => {
                let verdict = Verdict::Injected(injection);
                self.answer(review, &verdict, Outcome::Injected, since)
            }
            Err((verdict, outcome)) => {
                log(&verdict, review.namespace(), pod.name());
                self.answer(review, &verdict, outcome, since)
            }
        }
    }

    fn answer(
        &self,
        review: &Review<'_>,
        verdict: &Verdict<'_>,
        outcome: Outcome,
        since: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let answer = review.answer(verdict)?;
        self.metrics.count(if review.is_dry_run() {
            Outcome::DryRun
        } else {
            outcome
        });
        // An untrusted client may name any namespace: only one that has an account becomes a label.
        let namespace = if matches!(verdict, Verdict::Injected(_)) {
            review.namespace()
        } else {
            ""
        };
        self.metrics.observe(namespace, since.elapsed());
        Ok(answer)
    }

    /// A warning for a pod without the label whose account has it. Such pods arrive only when the
    /// operator widened the selector of the webhook configuration.
    fn warnings_without_label(&self, review: &Review<'_>) -> Vec<String> {
        let account = review.pod().map(Pod::service_account);
        let labelled = account.filter(|name| self.accounts.is_labelled(review.namespace(), name));
        let warning = labelled.map(|name| {
            format!(
                "service account {name} has label {0}, the pod has not: nothing is injected. Give \
                 the pod label {0}: \"true\"",
                contract::label::USE
            )
        });
        warning.into_iter().collect()
    }
}

/// The pod or its account has a mistake.
fn denied(denial: Denial) -> (Verdict<'static>, Outcome) {
    let verdict = refused(400, "BadRequest", &denial.to_string());
    (verdict, Outcome::Denied)
}

/// The API server did not answer. The client may try again.
fn failed(error: &LookupError) -> (Verdict<'static>, Outcome) {
    let verdict = refused(503, "ServiceUnavailable", &format!("{error}. Try again"));
    (verdict, Outcome::Failed)
}

fn refused(code: u16, reason: &'static str, message: &str) -> Verdict<'static> {
    Verdict::Refused {
        code,
        reason,
        message: inject::printable(message),
    }
}

fn log(verdict: &Verdict<'_>, namespace: &str, pod: &str) {
    if let Verdict::Refused { code, message, .. } = verdict {
        let [namespace, pod] = [namespace, pod].map(shortened);
        info!(namespace, pod, code, reason = message, "pod refused");
    }
}

/// No longer than a name may be: the names in a review have not been validated yet.
fn shortened(name: &str) -> &str {
    const MAX_CHARACTERS: usize = 253;
    let end = name.char_indices().nth(MAX_CHARACTERS);
    end.and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

/// The seed of one pod's secret, which is stored nowhere.
fn seed(pod: &Pod<'_>, config: &Prepared) -> Result<Seed, Refusal> {
    if !inject::may_use_seed(pod, config) {
        return Ok(Seed::UNUSED);
    }
    let mut bytes = [0; Seed::LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Refusal::NoRandomness)?;
    Ok(Seed(bytes))
}

/// Most pods have fewer objects. A parsed object takes some 150 bytes, and on every connection a
/// review of so many may stay parsed while it waits for the API server.
const MANY_OBJECTS: u32 = 128;
