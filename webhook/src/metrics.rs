//! What the webhook counts.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;

use crate::accounts::Accounts;
use crate::certificate::{Serving, bundle};

/// The counters.
pub struct Metrics {
    by_namespace: bool,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
}

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// The pod passed as it was.
    Admitted,
    /// A mistake of the user's was refused.
    Denied,
    /// It was a dry run, whatever its answer.
    DryRun,
    /// The cluster was in trouble.
    Failed,
    /// The pod was given its identity, or had it already.
    Injected,
    /// The request was no review.
    Malformed,
}

impl Metrics {
    /// Nothing is counted yet. `by_namespace` says whether durations are told apart by namespace:
    /// in clusters with very many, that costs the monitoring more than it gives.
    pub fn new(by_namespace: bool) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", contract::VERSION)]);
        registry.register("azwi_build", "The version of the webhook", build);
        let durations =
            Family::<RequestLabels, Histogram, fn() -> Histogram>::new_with_constructor(histogram);
        let reviews = Family::<ReviewLabels, Counter>::default();
        let in_flight = Gauge::default();
        registry.register(
            "azwi_reviews_in_flight",
            "Reviews that are being answered",
            in_flight.clone(),
        );
        registry.register(
            "azwi_mutation_request",
            "Distribution of how long it took for the azure-workload-identity mutation request",
            durations.clone(),
        );
        registry.register(
            "azwi_reviews",
            "Reviews answered, by outcome",
            reviews.clone(),
        );
        Self {
            by_namespace,
            durations,
            in_flight,
            registry,
            reviews,
        }
    }

    /// Counts a review as being answered until the guard is dropped.
    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Counts an answer.
    pub fn count(&self, outcome: Outcome) {
        self.reviews.get_or_create(&ReviewLabels { outcome }).inc();
    }

    /// Notes how long an answer took.
    pub fn observe(&self, namespace: &str, duration: Duration) {
        let namespace = if self.by_namespace { namespace } else { "" };
        let labels = RequestLabels {
            namespace: namespace.to_owned(),
            service_name: "webhook",
        };
        self.durations
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
    }

    /// All of them and the present state, in OpenMetrics text.
    ///
    /// # Errors
    ///
    /// None that is known of: text is written to memory.
    pub fn text(&self, accounts: &Accounts, serving: &Serving) -> Result<String, fmt::Error> {
        let mut now = Registry::default();
        now.register(
            "azwi_service_accounts",
            "Annotated service accounts in memory",
            ConstGauge::new(i64::try_from(accounts.count()).unwrap_or(i64::MAX)),
        );
        now.register(
            "azwi_service_account_live_lookups",
            "Service accounts that were asked for at the API server",
            prometheus_client::metrics::counter::ConstCounter::new(accounts.live_lookups()),
        );
        now.register(
            "azwi_service_account_watch_failing",
            "Whether the last word of the API server about service accounts was an error, or none came",
            ConstGauge::new(i64::from(accounts.watch_is_failing())),
        );
        now.register(
            "azwi_service_account_watch_event_timestamp_seconds",
            "When the API server last told of a service account",
            ConstGauge::new(accounts.last_event().as_secs_f64()),
        );
        now.register(
            "azwi_certificate_trusted",
            "Whether the authority of the serving certificate is in the webhook configuration",
            ConstGauge::new(i64::from(serving.is_ready())),
        );
        now.register(
            "azwi_certificate_troubled",
            "Whether something keeps the serving certificate from being renewed or trusted",
            ConstGauge::new(i64::from(serving.is_troubled())),
        );
        if let Some((_, end)) = serving
            .leaf()
            .and_then(|leaf| bundle::lifetime(&CertificateDer::from(leaf)))
            && let Ok(end) = end.duration_since(UNIX_EPOCH)
        {
            now.register(
                "azwi_certificate_expiry_timestamp_seconds",
                "When the serving certificate ends to be valid",
                ConstGauge::new(end.as_secs_f64()),
            );
        }

        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // Each registry ends its text; only the last end counts.
        text.truncate(text.trim_end_matches("# EOF\n").len());
        encode(&mut text, &now)?;
        Ok(text)
    }
}

/// A review that is being answered. Its client may leave before that is done.
pub struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    namespace: String,
    service_name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    outcome: Outcome,
}

/// The peer's buckets, in seconds, with two finer ones in front.
fn histogram() -> Histogram {
    let milliseconds = [0.1, 0.3, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
        .into_iter()
        .chain((2..=10).map(|tens| f64::from(tens) * 10.0))
        .chain((2..=10).map(|hundreds| f64::from(hundreds) * 100.0))
        .chain([1500.0, 2000.0, 2500.0, 3000.0]);
    Histogram::new(milliseconds.map(|bound| bound / 1000.0))
}
