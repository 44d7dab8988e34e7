//! Counters and durations of reviews. Their names and buckets are documented in `docs/`.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Counters and durations of reviews.
#[derive(Debug)]
pub struct Metrics {
    by_namespace: bool,
    durations: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    reviews: Family<ReviewLabels, Counter>,
}

/// How a review ended: `azwi_reviews_total{outcome}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// The pod passed unchanged.
    Admitted,
    /// The pod or its service account has a mistake.
    Denied,
    /// The review was a dry run, whatever the answer.
    DryRun,
    /// The API server did not answer a look-up.
    Failed,
    /// The pod was given its identity, or had it already.
    Injected,
    /// The request was no AdmissionReview.
    Malformed,
}

impl Metrics {
    /// Registers the metrics. `by_namespace` adds a label with the namespace to durations, which makes
    /// many series in clusters with very many namespaces.
    pub fn register(registry: &mut Registry, by_namespace: bool) -> Self {
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
            reviews,
        }
    }

    /// Counts a review as in flight until the guard is dropped.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Counts an answer.
    pub(super) fn count(&self, outcome: Outcome) {
        self.reviews.get_or_create(&ReviewLabels { outcome }).inc();
    }

    /// Records the duration of an answer.
    pub(super) fn observe(&self, namespace: &str, duration: Duration) {
        let namespace = if self.by_namespace { namespace } else { "" };
        let labels = RequestLabels {
            namespace: namespace.to_owned(),
            service_name: "webhook",
        };
        self.durations
            .get_or_create(&labels)
            .observe(duration.as_secs_f64());
    }
}

/// A review in flight. Its client may leave before it is answered.
pub(super) struct InFlight<'a>(&'a Gauge);

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

/// The buckets of azure-workload-identity, in seconds, after two finer ones.
fn histogram() -> Histogram {
    let milliseconds = [0.1, 0.3, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
        .into_iter()
        .chain((2..=10).map(|tens| f64::from(tens) * 10.0))
        .chain((2..=10).map(|hundreds| f64::from(hundreds) * 100.0))
        .chain([1500.0, 2000.0, 2500.0, 3000.0]);
    Histogram::new(milliseconds.map(|bound| bound / 1000.0))
}
