//! Answers reviews. [`handler`] is the HTTP around a review, `body` reads it into memory that is bounded,
//! [`review`] is its JSON, and [`crate::inject`] decides about the pod.
//!
//! This is the edge at which errors become status codes: a [`Denial`] is a 400, a [`LookupError`] a
//! 503, both inside an answer of status 200. A request that is no review is a [`error::Refusal`].

pub mod error;
pub mod handler;
pub mod metrics;
pub mod review;

mod body;
mod seeds;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use service_kit::log_rate::{Line, LogRate};
use tokio::sync::SemaphorePermit;

use crate::accounts::{Accounts, LookupError};
use crate::inject::{self, Account, Denial, Pod, PodSecurity, Prepared, Seed};
use crate::memory::{Bounds, LARGE, MadeWay, Memory, Share};
use crate::reason::excerpt_of;
pub(crate) use body::BODY_TIMEOUT;
use body::MIB;
use error::Refusal;
use metrics::{Metrics, Outcome};
use review::{Review, ReviewError, Size, Verdict};
use seeds::Seeds;
use tracing::info;

/// Answers reviews from the accounts in memory and the operator's settings.
#[derive(Debug)]
pub struct Admission {
    accounts: Arc<Accounts>,
    /// The operator's settings, replaced when the proxy's certificates change.
    config: ArcSwap<Prepared>,
    memory: Arc<Memory>,
    metrics: Metrics,
    /// Log lines of refused pods.
    refusals: LogRate,
    seeds: Seeds,
}

impl Admission {
    /// Answers from these accounts and settings.
    pub fn new(accounts: Arc<Accounts>, config: Prepared, metrics: Metrics) -> Self {
        Self {
            accounts,
            config: ArcSwap::from_pointee(config),
            memory: Arc::new(Memory::new(BOUNDS)),
            metrics,
            refusals: LogRate::default(),
            seeds: Seeds::new(),
        }
    }

    /// Replaces the settings. Reviews under way are answered from the old ones.
    pub fn update(&self, change: impl Fn(&mut inject::Config)) {
        self.config.rcu(|config| {
            let mut config = inject::Config::clone(config);
            change(&mut config);
            Prepared::from(config)
        });
    }

    /// Answers one review, nearly always only from memory. `share` is that of the body.
    async fn review(
        &self,
        body: &[u8],
        share: Option<&Share>,
        security: PodSecurity,
    ) -> Result<Vec<u8>, Refusal> {
        let since = Instant::now();
        let _in_flight = self.metrics.begin();
        let malformed = |_: &ReviewError| self.metrics.count(Outcome::Malformed);
        let size = Size::of(body).inspect_err(malformed)?;
        let turn = self.turn(&size).await;
        let review = Review::parse(body).inspect_err(malformed)?;
        let Some(pod) = review.pod().filter(|pod| inject::is_wanted(pod)) else {
            let warnings = self.warnings_without_label(&review);
            let verdict = Verdict::Admitted { warnings };
            return self.answer(&review, &verdict, Outcome::Admitted, security, since);
        };
        let [namespace, name] = [review.namespace(), pod.service_account()];
        if let Some(account) = self.accounts.known(namespace, name) {
            return self.decide(&review, pod, Ok(Some(account)), security, since);
        }
        if turn.is_none() {
            let account = self.look_up(namespace, name, share).await?;
            return self.decide(&review, pod, account, security, since);
        }
        // Parsing again costs less than the memory, or than other reviews waiting for it.
        let [namespace, name] = [namespace, name].map(|name| shortened(name).to_owned());
        drop(review);
        drop(turn);
        let account = self.look_up(&namespace, &name, share).await?;
        let _turn = self.turn(&size).await;
        let review = Review::parse(body).inspect_err(malformed)?;
        let pod = review.pod().ok_or(ReviewError::NoRequest)?;
        self.decide(&review, pod, account, security, since)
    }

    /// Waits until a review of this size may be parsed, `None` for one that need not wait. No review
    /// holds it while it waits for the API server or a client.
    async fn turn(&self, size: &Size) -> Option<SemaphorePermit<'_>> {
        if size.objects <= MANY_OBJECTS && size.body <= LARGE {
            return None;
        }
        self.memory.turn(size.parsed()).await
    }

    /// Asks the API server for an account. The review may make way meanwhile.
    async fn look_up(
        &self,
        namespace: &str,
        name: &str,
        share: Option<&Share>,
    ) -> Result<Result<Option<Account>, LookupError>, MadeWay> {
        let looking_up = self.accounts.look_up(namespace, name);
        let Some(share) = share else {
            return Ok(looking_up.await);
        };
        share.set_may_make_way(true)?;
        let account = tokio::select! {
            biased;
            () = share.made_way() => return Err(MadeWay),
            account = looking_up => account,
        };
        share.set_may_make_way(false)?;
        Ok(account)
    }

    /// Injects the pod's identity, or refuses the pod.
    fn decide(
        &self,
        review: &Review<'_>,
        pod: &Pod<'_>,
        account: Result<Option<Account>, LookupError>,
        security: PodSecurity,
        since: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let config = self.config.load();
        let decided = match &account {
            Ok(Some(account)) if let Some(key) = account.too_long => {
                Err(denied(Denial::long_value(pod.service_account(), key)))
            }
            Ok(Some(account)) => {
                inject::inject(pod, &config, account, &self.seed(pod)?, security).map_err(denied)
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
                self.answer(review, &verdict, Outcome::Injected, security, since)
            }
            Err((verdict, outcome)) => {
                self.log(&verdict, review.namespace(), pod.name());
                self.answer(review, &verdict, outcome, security, since)
            }
        }
    }

    /// The seed of one pod's secret, which is stored nowhere.
    fn seed(&self, pod: &Pod<'_>) -> Result<Seed, Refusal> {
        if !inject::may_use_seed(pod) {
            return Ok(Seed::UNUSED);
        }
        self.seeds.next().map_err(|_| Refusal::NoRandomness)
    }

    fn answer(
        &self,
        review: &Review<'_>,
        verdict: &Verdict<'_>,
        outcome: Outcome,
        security: PodSecurity,
        since: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let answer = review.answer(verdict)?;
        // The API server sends a pod that is admitted here to the entry for all namespaces too, which counts it.
        let comes_again = !matches!(verdict, Verdict::Refused { .. });
        if security == PodSecurity::RefusesNetAdmin && comes_again {
            return Ok(answer);
        }
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

    /// A user who may create pods can cause these lines.
    fn log(&self, verdict: &Verdict<'_>, namespace: &str, pod: &str) {
        let Verdict::Refused { code, message, .. } = verdict else {
            return;
        };
        if let Some(Line { suppressed }) = self.refusals.line() {
            let [namespace, pod] = [namespace, pod].map(shortened);
            info!(
                namespace,
                pod,
                code,
                reason = message,
                suppressed,
                "pod refused"
            );
        }
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
        message: excerpt_of(&message, MAX_MESSAGE),
    }
}

/// Cuts a name, which has not been validated yet, to one character more than Kubernetes allows: a name that is too
/// long is still too long, and no other object's.
fn shortened(name: &str) -> &str {
    const MAX_CHARACTERS: usize = 254;
    let end = name.char_indices().nth(MAX_CHARACTERS);
    end.and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

/// Most pods have fewer objects. A parsed object takes some 150 bytes, and on every connection a
/// review of so many may stay parsed while it waits for the API server.
const MANY_OBJECTS: usize = 128;

/// With some 16 MiB for the accounts and 16 KiB for each connection, they stay below the memory limit of
/// the chart, 64 MiB.
const BOUNDS: Bounds = Bounds {
    held: 12 * MIB,
    held_by_large: 10 * MIB,
    turns: 12 * MIB,
};

/// Characters of a refusal. Names in a review are not validated yet.
const MAX_MESSAGE: usize = 1_000;
