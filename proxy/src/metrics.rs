//! Prometheus metrics. Their names are an interface: they are documented in `docs/`.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::redact::short;
use crate::token::{Clock, Exchange, Tokens};

/// How requests of applications ended: `azwi_proxy_requests_total{outcome}`.
#[derive(Debug)]
pub struct Requests {
    /// `entra`: with a token that the request waited for.
    pub entra: Counter,
    /// `failed`: without a token, because Entra gave none.
    pub failed: Counter,
    /// `memory`: with a token from memory.
    pub memory: Counter,
    /// `probe`: refused for want of the `Metadata` header, as availability probes expect.
    pub probe: Counter,
    /// `refused`: refused for another reason.
    pub refused: Counter,
    /// `relayed`: passed on to IMDS.
    pub relayed: Counter,
    /// `stale`: with a valid token from memory that could not be replaced in time.
    pub stale: Counter,
}

/// Attempts to get a token from Entra:
/// `azwi_proxy_exchange_duration_seconds{status,code}`. `status` is 0 when there was no answer,
/// `code` is the number of the AADSTS error, `other` for one that is not listed here, or empty.
#[derive(Clone, Debug)]
pub struct Exchanges(Family<Attempt, Histogram, fn() -> Histogram>);

/// The registry with everything in it.
#[derive(Debug)]
pub struct Metrics {
    /// Requests of applications.
    pub requests: Requests,
    registry: Registry,
}

impl Exchanges {
    /// Records one attempt.
    pub fn observe(&self, status: u16, code: Option<u32>, took: Duration) {
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

impl Default for Exchanges {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl Metrics {
    /// Registers everything: requests, `exchanges`, the seconds until each of `tokens` expires
    /// (`azwi_proxy_token_expiry_seconds{client_id,resource}`, client ids shortened), and
    /// `azwi_proxy_build_info{version}`.
    pub fn new<E, C>(exchanges: &Exchanges, tokens: Tokens<E, C>) -> Self
    where
        E: Exchange + fmt::Debug,
        C: Clock + fmt::Debug,
    {
        let mut registry = Registry::with_prefix("azwi_proxy");
        let build = Info::new([("version", contract::VERSION)]);
        registry.register("build", "The version of the proxy", build);
        let outcomes = Family::<Outcome, Counter>::default();
        registry.register("requests", "Requests by how they ended", outcomes.clone());
        let durations = exchanges.0.clone();
        let help = "Attempts to get a token from Entra, by status and AADSTS code";
        registry.register_with_unit("exchange_duration", help, Unit::Seconds, durations);
        registry.register_collector(Box::new(Expiry(tokens)));
        let counter = |outcome| outcomes.get_or_create_owned(&Outcome { outcome });
        Self {
            requests: Requests {
                entra: counter("entra"),
                failed: counter("failed"),
                memory: counter("memory"),
                probe: counter("probe"),
                refused: counter("refused"),
                relayed: counter("relayed"),
                stale: counter("stale"),
            },
            registry,
        }
    }

    /// The text to answer a scrape with, of the type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// A metric cannot be written, which does not happen with those registered here.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The type of a scrape's answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct Attempt {
    status: u16,
    code: String,
}

#[derive(Debug)]
struct Expiry<E, C>(Tokens<E, C>);

impl<E, C> Collector for Expiry<E, C>
where
    E: Exchange + fmt::Debug,
    C: Clock + fmt::Debug,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let first = ConstGauge::new(0_u64);
        let help = "Seconds until a token in memory expires";
        let mut expiry = encoder.encode_descriptor(
            "token_expiry",
            help,
            Some(&Unit::Seconds),
            first.metric_type(),
        )?;
        for (key, left) in self.0.lifetimes() {
            let client_id = short(&key.client_id).to_string();
            let labels = [("client_id", &*client_id), ("resource", &*key.resource)];
            let left = ConstGauge::new(left.as_secs());
            left.encode(expiry.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Seconds.
const BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 8.0];

/// Codes with a label of their own: those that there is advice for or that are retried.
const LISTED_CODES: [u32; 34] = [
    50001, 50013, 50027, 50033, 50196, 53003, 70011, 70012, 70021, 90002, 90006, 90012, 90024,
    90033, 90038, 90055, 90061, 90090, 90091, 500011, 700016, 700022, 700023, 700024, 700027,
    700211, 700212, 700213, 700222, 900384, 7000112, 7000215, 7000218, 7002121,
];
