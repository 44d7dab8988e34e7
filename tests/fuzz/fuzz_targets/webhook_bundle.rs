//! `caBundle` of the webhook's configuration and `ca.crt` of its Secret, which other programs may write.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use webhook::certificate::authority::Authority;
use webhook::certificate::bundle::Bundle;

const LIMIT: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let mut bundle = Bundle::parse(bytes);
    // A written bundle is read as the same bundle.
    let written = bundle.to_pem();
    assert_eq!(Bundle::parse(written.as_bytes()), bundle);
    // Merging adds nothing twice.
    let length = bundle.len();
    bundle.merge(bundle.clone());
    assert_eq!(bundle.len(), length);
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    bundle.retain_valid(now, LIMIT);
    assert!(bundle.len() <= LIMIT.min(length));

    // One text holds certificates and key here. An authority without either is refused.
    if let Ok(authority) = Authority::parse(bytes, bytes) {
        assert!(Bundle::parse(bytes).contains(authority.certificate()));
    }
});
