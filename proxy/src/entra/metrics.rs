//! `azwi_proxy_exchange_duration_seconds{status,code}`: attempts to get a token from Entra.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The histograms. `status` is 0 without an answer; `code` is the number of the AADSTS error, `other`
/// for one that is not listed here, or empty.
#[derive(Clone, Debug)]
pub(super) struct Exchanges(Family<Attempt, Histogram, fn() -> Histogram>);

impl Exchanges {
    /// Registers the histograms.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let durations: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let help = "Attempts to get a token from Entra, by status and AADSTS code";
        registry.register_with_unit("exchange_duration", help, Unit::Seconds, durations.clone());
        Self(durations)
    }

    /// Records one attempt.
    pub(super) fn observe(&self, status: u16, code: Option<u32>, took: Duration) {
        let attempt = Attempt {
            status,
            code: match code {
                None => String::new(),
                Some(code) if LISTED_CODES.contains(&code) => code.to_string(),
                Some(_) => "other".to_owned(),
            },
        };
        self.0.get_or_create(&attempt).observe(took.as_secs_f64());
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct Attempt {
    status: u16,
    code: String,
}

/// Upper bounds in seconds.
const BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 8.0];

/// Codes with a label of their own: those that have advice or that are retried.
const LISTED_CODES: [u32; 34] = [
    50001, 50013, 50027, 50033, 50196, 53003, 70011, 70012, 70021, 90002, 90006, 90012, 90024,
    90033, 90038, 90055, 90061, 90090, 90091, 500011, 700016, 700022, 700023, 700024, 700027,
    700211, 700212, 700213, 700222, 900384, 7000112, 7000215, 7000218, 7002121,
];
