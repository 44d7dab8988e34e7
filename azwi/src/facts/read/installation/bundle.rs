//! The certificates of `caBundle`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;

use crate::facts::installation::Bundle;

/// The state of a `caBundle`, in base64 as the API server gives it.
pub(super) fn state(bundle: Option<&str>) -> Bundle {
    let Some(text) = bundle.filter(|it| !it.is_empty()) else {
        return Bundle::Empty;
    };
    let Ok(pem) = STANDARD.decode(text) else {
        return Bundle::Unreadable;
    };
    let blocks = Pem::iter_from_buffer(&pem).flatten();
    let valid: Vec<bool> = blocks
        .filter_map(|block| Some(block.parse_x509().ok()?.validity().is_valid()))
        .collect();
    if valid.is_empty() {
        Bundle::Unreadable
    } else if valid.contains(&true) {
        Bundle::Valid
    } else {
        Bundle::Expired
    }
}
