//! `azwi_proxy_requests_total{outcome}`: how requests of applications ended.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The counters, one for each outcome.
#[derive(Debug)]
pub(crate) struct Requests {
    /// `entra`: with a token that the request waited for.
    pub(crate) entra: Counter,
    /// `failed`: without a token, because Entra gave none.
    pub(crate) failed: Counter,
    /// `memory`: with a token from memory.
    pub(crate) memory: Counter,
    /// `probe`: refused because the `Metadata` header is missing, as availability probes expect.
    pub(crate) probe: Counter,
    /// `refused`: refused for another reason.
    pub(crate) refused: Counter,
    /// `relayed`: passed on to IMDS.
    pub(crate) relayed: Counter,
    /// `stale`: with a valid token from memory that could not be replaced in time.
    pub(crate) stale: Counter,
}

impl Requests {
    /// Registers the counters.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let outcomes = Family::<Outcome, Counter>::default();
        registry.register("requests", "Requests by how they ended", outcomes.clone());
        let counter = |outcome| outcomes.get_or_create_owned(&Outcome { outcome });
        Self {
            entra: counter("entra"),
            failed: counter("failed"),
            memory: counter("memory"),
            probe: counter("probe"),
            refused: counter("refused"),
            relayed: counter("relayed"),
            stale: counter("stale"),
        }
    }

    /// The requests that have ended so far.
    pub(crate) fn count(&self) -> u64 {
        let Self {
            entra,
            failed,
            memory,
            probe,
            refused,
            relayed,
            stale,
        } = self;
        let all = [entra, failed, memory, probe, refused, relayed, stale];
        all.into_iter().map(Counter::get).sum()
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Hash, PartialEq, Eq)]
struct Outcome {
    outcome: &'static str,
}
