//! The certificate that the API server sees: made by the webhook itself ([`own`]), or read from
//! files that somebody else renews ([`files`]).

pub mod authority;
pub mod bundle;
pub mod files;
pub mod own;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate in use, replaced while connections are being served.
#[derive(Default)]
pub struct Serving {
    certified: ArcSwapOption<CertifiedKey>,
    is_trusted: AtomicBool,
    is_troubled: AtomicBool,
}

impl Serving {
    /// Serves new connections with this certificate.
    pub fn replace(&self, certified: CertifiedKey) {
        self.certified.store(Some(Arc::new(certified)));
    }

    /// Notes whether the API server trusts the certificate, as far as can be known.
    pub fn set_trusted(&self, is_trusted: bool) {
        self.is_trusted.store(is_trusted, Ordering::Release);
    }

    /// Notes whether something keeps the certificate from being renewed or trusted.
    pub fn set_troubled(&self, is_troubled: bool) {
        self.is_troubled.store(is_troubled, Ordering::Release);
    }

    /// Whether the operator should look.
    pub fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Acquire)
    }

    /// Whether there is a certificate that the API server trusts.
    pub fn is_ready(&self) -> bool {
        self.is_trusted.load(Ordering::Acquire) && self.certified.load().is_some()
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
