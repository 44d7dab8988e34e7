//! No spelling of `/metadata/identity` is taken for a path that may be relayed (IMDS D9,
//! CVE-2022-23551). The classifier is compared with path readers as simple as those of servers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use proxy::api::imds::{Place, canonical, place};

fuzz_target!(|path: &str| {
    let place = place(path);
    if place == Place::Elsewhere {
        let mut seen = path.to_owned();
        for _ in 0..4 {
            assert!(!is_identity(&seen), "{path:?} is read as {seen:?}");
            seen = percent_decode_str(&seen).decode_utf8_lossy().into_owned();
        }
    }
    if place == Place::Token {
        assert!(is_identity(path), "{path:?}");
    }
    if let Some(once) = canonical(path) {
        assert_eq!(canonical(&once).as_deref(), Some(&*once), "{path:?}");
    }
});

/// Whether a server could read the path as `/metadata/identity`: one that takes what comes before for a
/// host or drops it, reads backslashes as slashes, merges slashes, resolves or drops dot segments, and
/// ignores case.
fn is_identity(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace('\\', "/");
    let mut resolved = Vec::new();
    let mut skipped = Vec::new();
    for segment in path.split(['?', '#']).next().unwrap_or_default().split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            segment => {
                resolved.push(segment);
                skipped.push(segment);
            }
        }
    }
    [resolved, skipped].iter().any(|segments| {
        let mut pairs = segments.windows(2);
        pairs.any(|pair| pair == ["metadata", "identity"])
    })
}
