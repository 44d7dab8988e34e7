//! Servers outside of the cluster: Entra, and the issuer's documents. Both are reached through the egress proxy of the
//! environment.

use std::path::Path;

use proxy::entra::{Egress, EgressError, Roots, RootsError};
use thiserror::Error;

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

/// Mozilla's authorities, and those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(super) fn roots() -> Result<Roots, OutsideError> {
    let mut roots = Roots::built_in();
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
