//! Servers outside of the cluster: Entra, and the issuer's documents. As the proxy reaches them, through the
//! egress proxy of the environment, and with the authorities that the proxies trust.

use std::path::Path;

use contract::value::CaData;
use proxy::entra::{Egress, EgressError, Roots, RootsError};
use thiserror::Error;

use crate::facts::Facts;

/// The environment cannot be used.
#[derive(Debug, Error)]
pub(super) enum OutsideError {
    #[error(transparent)]
    Egress(#[from] EgressError),
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// The egress proxy of `HTTPS_PROXY` and the like.
pub(super) fn egress() -> Result<Option<Egress>, OutsideError> {
    Ok(Egress::from_environment(std::env::var_os)?)
}

/// Mozilla's authorities, those of the chart's `proxy.caBundle`, and those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(super) fn roots(facts: &Facts) -> Result<Roots, OutsideError> {
    let mut roots = Roots::built_in();
    // The webhook refuses to start with others.
    if let Some(data) = facts
        .proxy_ca
        .as_ref()
        .and_then(|it| it.parse::<CaData>().ok())
    {
        roots.add(&data);
    }
    let set = |name| std::env::var_os(name).filter(|it| !it.is_empty());
    if let Some(file) = set("SSL_CERT_FILE") {
        roots.add_file(Path::new(&file))?;
    }
    for directory in set("SSL_CERT_DIR").iter().flat_map(std::env::split_paths) {
        if directory != Path::new("") {
            roots.add_directory(&directory)?;
        }
    }
    Ok(roots)
}
