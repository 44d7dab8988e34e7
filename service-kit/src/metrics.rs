//! The answer to a Prometheus scrape, and values that are read at the moment of the scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The media type of [`text`]: OpenMetrics 1.0.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a registry in OpenMetrics text.
///
/// # Errors
///
/// Never in practice: text is written to memory.
pub fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

/// Registers a gauge whose value is read at the moment of a scrape. It is left out of a scrape for
/// which `read` returns `None`.
pub fn register_gauge(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Moment {
        help: sentence(help),
        name,
        read: move || read().map(ConstGauge::new),
    }));
}

/// Registers a counter whose value is read at the moment of a scrape. `name` has no `_total`.
pub fn register_counter(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    read: impl Fn() -> u64 + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Moment {
        help: sentence(help),
        name,
        read: move || Some(ConstCounter::new(read())),
    }));
}

struct Moment<F> {
    help: String,
    name: &'static str,
    read: F,
}

impl<F, M> Collector for Moment<F>
where
    F: Fn() -> Option<M> + Send + Sync + 'static,
    M: EncodeMetric,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(metric) = (self.read)() else {
            return Ok(());
        };
        let kind = metric.metric_type();
        metric.encode(encoder.encode_descriptor(self.name, &self.help, None, kind)?)
    }
}

/// A registry ends the help texts of its own metrics with a full stop.
fn sentence(help: &str) -> String {
    format!("{help}.")
}

impl<F> fmt::Debug for Moment<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Moment")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn values_are_those_of_the_moment_of_the_scrape() {
        let mut registry = Registry::default();
        let value = Arc::new(AtomicU64::new(0));
        let gauge = Arc::clone(&value);
        register_gauge(&mut registry, "level", "The level", move || {
            let value = gauge.load(Ordering::Relaxed);
            (value > 0).then_some(value as f64)
        });
        let counter = Arc::clone(&value);
        register_counter(&mut registry, "steps", "The steps", move || {
            counter.load(Ordering::Relaxed)
        });
        assert_eq!(
            text(&registry).unwrap(),
            "# HELP steps The steps.\n# TYPE steps counter\nsteps_total 0\n# EOF\n"
        );
        value.store(7, Ordering::Relaxed);
        assert_eq!(
            text(&registry).unwrap(),
            "# HELP level The level.\n# TYPE level gauge\nlevel 7.0\n\
             # HELP steps The steps.\n# TYPE steps counter\nsteps_total 7\n# EOF\n"
        );
    }
}
