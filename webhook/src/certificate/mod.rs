//! The certificate that the API server sees. The webhook issues it itself ([`plan`] decides and
//! [`keeper`] does it), or reads it from files that cert-manager or an operator renews ([`files`]).

pub mod authority;
pub mod bundle;
mod contest;
pub mod files;
pub mod keeper;
pub mod plan;
pub mod tls;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwapOption;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use service_kit::metrics::register_gauge;

/// The certificate in use, replaced while connections are being served.
#[derive(Default)]
pub struct Serving {
    certified: ArcSwapOption<CertifiedKey>,
    is_trusted: AtomicBool,
    is_degraded: AtomicBool,
}

impl Serving {
    /// Serves new connections with this certificate.
    pub fn replace(&self, certified: CertifiedKey) {
        self.certified.store(Some(Arc::new(certified)));
    }

    /// Records whether the API server trusts the certificate, as far as the webhook can know.
    pub fn set_trusted(&self, is_trusted: bool) {
        self.is_trusted.store(is_trusted, Ordering::Release);
    }

    /// Records whether an error keeps the certificate from being renewed or trusted.
    pub fn set_degraded(&self, is_degraded: bool) {
        self.is_degraded.store(is_degraded, Ordering::Release);
    }

    /// Whether an error keeps the certificate from being renewed or trusted.
    pub fn is_degraded(&self) -> bool {
        self.is_degraded.load(Ordering::Acquire)
    }

    /// Whether there is a certificate that the API server trusts.
    pub fn is_ready(&self) -> bool {
        self.is_trusted.load(Ordering::Acquire) && self.certified.load().is_some()
    }

    /// Registers the gauges of the certificate.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let serving = Arc::clone(self);
        register_gauge(
            registry,
            "azwi_certificate_trusted",
            "Whether the authority of the serving certificate is in the webhook configuration",
            move || Some(i64::from(serving.is_ready())),
        );
        let serving = Arc::clone(self);
        register_gauge(
            registry,
            "azwi_certificate_troubled",
            "Whether an error keeps the serving certificate from being renewed or trusted",
            move || Some(i64::from(serving.is_degraded())),
        );
        let serving = Arc::clone(self);
        register_gauge(
            registry,
            "azwi_certificate_expiry_timestamp_seconds",
            "When the serving certificate expires",
            move || {
                let (_, end) = bundle::lifetime(&CertificateDer::from(serving.leaf()?))?;
                Some(end.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
            },
        );
    }

    /// The certificate in use, DER.
    pub fn leaf(&self) -> Option<Vec<u8>> {
        let certified = self.certified.load();
        certified.as_ref()?.cert.first().map(|leaf| leaf.to_vec())
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified.load_full()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Serving").finish_non_exhaustive()
    }
}
