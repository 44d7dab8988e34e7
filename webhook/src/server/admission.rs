//! `POST /mutate-v1-pod`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::accounts::{Accounts, LookupError};
use crate::inject::{self, Account, Denial, Pod, Prepared, Seed};
use crate::metrics::{Metrics, Outcome};
use crate::review::{Review, Verdict};

/// The path that the webhook configuration names.
pub const PATH: &str = "/mutate-v1-pod";

/// Twice the API server's own limit of 3 MB for an object, and room for the envelope.
const MAX_BODY: usize = 7 * 1024 * 1024;
/// Hardly a pod is larger. Those that are wait for their turn, so that nobody fills the memory of a
/// replica by creating pods.
const LARGE_BODY: u64 = 64 * 1024;
static LARGE: Semaphore = Semaphore::const_new(4);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What reviews are answered from.
pub struct Admission {
    /// The cluster's service accounts.
    pub accounts: Arc<Accounts>,
    /// The operator's settings, replaced when the proxy's certificates change.
    pub config: ArcSwap<Prepared>,
    /// Where reviews are counted.
    pub metrics: Arc<Metrics>,
}

/// The routes.
pub fn router(admission: Arc<Admission>) -> Router {
    Router::new()
        .route(PATH, post(handle))
        .with_state(admission)
}

async fn handle(State(admission): State<Arc<Admission>>, request: Request<Body>) -> Response {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !is_json(content_type.unwrap_or_default()) {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send an AdmissionReview as application/json",
        );
    }
    // Held until the review is answered.
    let _turn = if is_large(&request) {
        LARGE.acquire().await.ok()
    } else {
        None
    };
    let body = match read(request.into_body()).await {
        Ok(body) => body,
        Err((status, reason)) => return refuse(status, reason),
    };
    match admission.review(&body).await {
        Ok(answer) => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], answer).into_response()
        }
        Err((status, reason)) => refuse(status, &reason),
    }
}

impl Admission {
    /// Answers one review. Usually a matter of memory alone.
    async fn review(&self, body: &[u8]) -> Result<Vec<u8>, (StatusCode, String)> {
        let since = Instant::now();
        let _in_flight = self.metrics.begin();
        let [namespace, name] = {
            let review = self.parse(body)?;
            let Some(pod) = wanting(&review) else {
                let warnings = self.forgotten(&review);
                let verdict = Verdict::Admitted { warnings };
                return self.answer(&review, &verdict, Outcome::Admitted, since);
            };
            let [namespace, name] = [review.namespace(), pod.service_account()];
            if let Some(account) = self.accounts.known(namespace, name) {
                return self.judge(&review, pod, &Ok(Some(account)), since);
            }
            [namespace, name].map(str::to_owned)
        };
        // What was parsed takes many times the body's memory: nothing of it is kept while others are
        // waited for.
        let account = self.accounts.look_up(&namespace, &name).await;
        let review = self.parse(body)?;
        match wanting(&review) {
            Some(pod) => self.judge(&review, pod, &account, since),
            None => Err((
                StatusCode::INTERNAL_SERVER_ERROR,
                "the review changed".to_owned(),
            )),
        }
    }

    fn parse<'a>(&self, body: &'a [u8]) -> Result<Review<'a>, (StatusCode, String)> {
        Review::parse(body).map_err(|error| {
            self.metrics.count(Outcome::Malformed);
            (StatusCode::BAD_REQUEST, error.to_string())
        })
    }

    /// Injects, or refuses.
    fn judge(
        &self,
        review: &Review<'_>,
        pod: &Pod<'_>,
        account: &Result<Option<Account>, LookupError>,
        since: Instant,
    ) -> Result<Vec<u8>, (StatusCode, String)> {
        let config = self.config.load();
        let judged = match account {
            Ok(Some(account)) => {
                let seed = seed(pod, &config)?;
                inject::inject(pod, &config, account, &seed).map_err(Refusal::Mistake)
            }
            Ok(None) => Err(Refusal::Mistake(Denial::no_account(
                pod.service_account(),
                review.namespace(),
            ))),
            Err(error) => Err(Refusal::Trouble(error)),
        };
        match judged {
            Ok(injection) => {
                let verdict = Verdict::Injected(injection);
                self.answer(review, &verdict, Outcome::Injected, since)
            }
            Err(refusal) => {
                let outcome = refusal.outcome();
                let verdict = refusal.verdict();
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
    ) -> Result<Vec<u8>, (StatusCode, String)> {
        let answer = review
            .answer(verdict)
            .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        self.metrics.count(if review.is_dry_run() {
            Outcome::DryRun
        } else {
            outcome
        });
        // A namespace that a stranger made up becomes no label: only those with an account do.
        let namespace = if matches!(verdict, Verdict::Injected(_)) {
            review.namespace()
        } else {
            ""
        };
        self.metrics.observe(namespace, since.elapsed());
        Ok(answer)
    }
}

impl Admission {
    /// A hint for a pod that came without the label although its account has it. Such pods only come
    /// here when the operator widened the webhook configuration's selector.
    fn forgotten(&self, review: &Review<'_>) -> Vec<String> {
        let account = review.pod().map(Pod::service_account);
        let labelled = account.filter(|name| self.accounts.is_labelled(review.namespace(), name));
        let hint = labelled.map(|name| {
            format!(
                "service account {name} has label {0}, the pod has not: nothing is injected. Give \
                 the pod label {0}: \"true\"",
                contract::label::USE
            )
        });
        hint.into_iter().collect()
    }
}

/// Why a pod is not admitted.
enum Refusal<'a> {
    Mistake(Denial),
    Trouble(&'a LookupError),
}

impl Refusal<'_> {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Mistake(_) => Outcome::Denied,
            Self::Trouble(_) => Outcome::Failed,
        }
    }

    fn verdict(self) -> Verdict<'static> {
        let (code, reason, message) = match self {
            Self::Mistake(denial) => (400, "BadRequest", denial.to_string()),
            Self::Trouble(error) => (503, "ServiceUnavailable", format!("{error}. Try again")),
        };
        Verdict::Refused {
            code,
            reason,
            message: inject::printable(&message),
        }
    }
}

fn log(verdict: &Verdict<'_>, namespace: &str, pod: &str) {
    if let Verdict::Refused { code, message, .. } = verdict {
        let [namespace, pod] = [namespace, pod].map(brief);
        tracing::info!(namespace, pod, code, "pod refused: {message}");
    }
}

/// No longer than a name may be: those of a review are not checked yet.
fn brief(name: &str) -> &str {
    const MAX_CHARACTERS: usize = 253;
    let end = name.char_indices().nth(MAX_CHARACTERS);
    end.and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

/// The review's pod, if it asks for anything.
fn wanting<'r, 'a>(review: &'r Review<'a>) -> Option<&'r Pod<'a>> {
    review.pod().filter(|pod| inject::is_wanted(pod))
}

/// For one pod's secret, which is kept nowhere.
fn seed(pod: &Pod<'_>, config: &Prepared) -> Result<Seed, (StatusCode, String)> {
    if !inject::may_use_seed(pod, config) {
        return Ok(Seed::UNUSED);
    }
    let mut bytes = [0; Seed::LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        let text = "the system gives no random numbers".to_owned();
        (StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    Ok(Seed(bytes))
}

fn is_large(request: &Request<Body>) -> bool {
    // API servers always tell the length.
    let length = hyper::body::Body::size_hint(request.body()).exact();
    length.is_none_or(|length| length > LARGE_BODY)
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn read(body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than 7 MiB",
        )),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body could not be read")),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come within 10 s",
        )),
    }
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    tracing::debug!(%status, "request refused: {reason}");
    (status, format!("{reason}\n")).into_response()
}
