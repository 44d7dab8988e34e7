//! The audit's metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use service_kit::metrics::{register_counter, register_gauge};

use super::store::Pods;
use crate::checks::Code;

/// Values that a scrape reads.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    findings: Mutex<BTreeMap<(Code, Arc<str>), usize>>,
    evictions: AtomicU64,
}

impl Metrics {
    /// Replaces the numbers of findings.
    pub(super) fn set_findings(&self, findings: BTreeMap<(Code, Arc<str>), usize>) {
        *self.findings.lock().unwrap_or_else(PoisonError::into_inner) = findings;
    }

    /// Counts an eviction.
    pub(super) fn evicted(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// Registers all metrics.
    pub(super) fn register(self: &Arc<Self>, registry: &mut Registry, pods: &Arc<Pods>) {
        let build = Info::new([("version", contract::VERSION)]);
        registry.register("azwi_audit_build", "The version of the audit", build);
        registry.register_collector(Box::new(Findings(Arc::clone(self))));
        let watched = Arc::clone(pods);
        register_gauge(
            registry,
            "azwi_audit_pods",
            "Labelled pods in memory",
            move || Some(i64::try_from(watched.count()).unwrap_or(i64::MAX)),
        );
        let watched = Arc::clone(pods);
        register_gauge(
            registry,
            "azwi_audit_watch_failing",
            "Whether the watch of pods has failed, or has not begun",
            move || Some(i64::from(watched.is_failing())),
        );
        let metrics = Arc::clone(self);
        register_counter(
            registry,
            "azwi_audit_evictions",
            "Evicted pods",
            move || metrics.evictions.load(Ordering::Relaxed),
        );
    }
}

#[derive(Debug)]
struct Findings(Arc<Metrics>);

impl Collector for Findings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let findings = self.0.findings.lock();
        let findings = findings.unwrap_or_else(PoisonError::into_inner).clone();
        let help = "Pods with a fault, by its code and namespace.";
        let mut family =
            encoder.encode_descriptor("azwi_audit_findings", help, None, MetricType::Gauge)?;
        for ((code, namespace), pods) in findings {
            let labels = [("code", code.as_str()), ("namespace", &*namespace)];
            let gauge = ConstGauge::new(i64::try_from(pods).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
