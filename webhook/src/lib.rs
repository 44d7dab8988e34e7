//! The mutating admission webhook: gives labelled pods a federated token, the variables of their
//! identity and, on request, the sidecar that stands in for IMDS.

pub mod accounts;
pub mod app;
pub mod certificate;
pub mod inject;
pub mod metrics;
pub mod review;
pub mod server;
pub mod settings;
pub mod version;

mod reason;
