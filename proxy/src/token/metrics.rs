//! `azwi_proxy_token_expiry_seconds{client_id,resource}`: read from the store at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::clock::Clock;
use super::exchange::Exchange;
use super::store::Tokens;
use super::value::Key;
use crate::redact::short;

impl<E, V, C> Tokens<E, V, C>
where
    E: Exchange + fmt::Debug,
    V: fmt::Debug + Send + Sync + 'static,
    C: Clock + fmt::Debug,
{
    /// Registers the seconds until each token expires. Client ids are shortened.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Expiry(self.clone())));
    }
}

#[derive(Debug)]
struct Expiry<E, V, C>(Tokens<E, V, C>);

impl<E, V, C> Collector for Expiry<E, V, C>
where
    E: Exchange + fmt::Debug,
    V: fmt::Debug + Send + Sync + 'static,
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
        let mut seen: Vec<Arc<Key>> = Vec::new();
        for (key, left) in self.0.lifetimes().into_iter().take(MAX_SERIES) {
            // Tokens that differ in their claims alone are one series: that of the one in use.
            if seen.iter().any(|it| is_same_series(it, &key)) {
                continue;
            }
            seen.push(Arc::clone(&key));
            let client_id = short(&key.client_id).to_string();
            let labels = [("client_id", &*client_id), ("resource", &*key.resource)];
            let left = ConstGauge::new(left.as_secs());
            left.encode(expiry.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn is_same_series(one: &Key, other: &Key) -> bool {
    one.client_id == other.client_id && one.resource == other.resource
}

/// The tokens of a scrape, those in use first. Bounds the memory of scrapes: a label may have a kibibyte.
const MAX_SERIES: usize = 100;
