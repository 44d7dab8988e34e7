//! Paths of requests, in one canonical spelling.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The canonical spelling of a path: percent-decoded until nothing is left to decode, in lower case,
/// with `/` for `\`, and without parameters (`;x`), empty and dot segments, and dots and spaces at a
/// segment's end (which Windows drops).
///
/// `None` for a path that servers read differently: one with escapes of characters other than
/// printable ASCII, or with `..` beside `identity`.
#[must_use]
pub fn canonical(path: &str) -> Option<String> {
    let decoded = decoded(path)?;
    if !decoded.starts_with(['/', '\\']) {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    let (mut climbs, mut identity) = (false, false);
    for segment in decoded.split(['/', '\\']) {
        let segment = segment.split([';', '?', '#']).next().unwrap_or_default();
        let name = segment.trim_end_matches(['.', ' ']);
        if name.is_empty() && segment.trim_end().len() > 1 {
            climbs = true;
            segments.pop();
        } else if !name.is_empty() {
            identity |= name == "identity";
            segments.push(name);
        }
    }
    // A server that ignores `..`, or ends the path elsewhere, sees another path.
    let cut = decoded.contains(['?', '#']);
    if identity && (climbs || cut) {
        return None;
    }
    Some(format!("/{}", segments.join("/")))
}

/// `path` in lower case, decoded until it no longer changes; `None` unless it is printable ASCII
/// without `%` then.
fn decoded(path: &str) -> Option<String> {
    let mut path = Cow::Borrowed(path.as_bytes());
    for _ in 0..MAX_DECODINGS {
        match Cow::from(percent_decode(&path)) {
            Cow::Borrowed(_) => break,
            Cow::Owned(shorter) => path = Cow::Owned(shorter),
        }
    }
    if path
        .iter()
        .any(|byte| *byte == b'%' || !matches!(byte, b' '..=b'~'))
    {
        return None;
    }
    String::from_utf8(path.to_ascii_lowercase()).ok()
}

/// Clients encode a path once or twice. A path that needs more decoding than this is refused.
const MAX_DECODINGS: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_canonical_spelling_is_its_own(path in r"[/\\.;%a-zA-Z0-9 ?#-]{0,40}") {
            if let Some(once) = canonical(&path) {
                prop_assert_eq!(canonical(&once), Some(once));
            }
        }
    }
}
