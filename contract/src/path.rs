//! Paths of requests, in one canonical spelling.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The canonical spelling of a path: percent-decoded until nothing is left to decode, in lower case,
/// with `/` for `\`, and without parameters (`;x`), empty and dot segments, and dots and spaces at a
/// segment's end (which Windows drops).
///
/// `None` for a path that servers read differently: one with escapes of characters other than
/// printable ASCII, with `..` beside a segment that ends the path of an identity, or with an encoded slash or
/// a backslash in a parameter.
#[must_use]
pub fn canonical(path: &str) -> Option<String> {
    let whole = plain(&decoded(path)?)?;
    // A server may drop parameters before it decodes the path once more, and `\` may end none: it sees another
    // path if a slash is in one.
    let stages = stages(path).filter(|stage| stage.contains(&b';'));
    let mut readings = stages.flat_map(|stage| {
        [b"/\\".as_slice(), b"/"].map(|slashes| without_parameters(&stage, slashes))
    });
    let is_same =
        |reading: Vec<u8>| decoded(reading).and_then(|it| plain(&it)).as_ref() == Some(&whole);
    readings.all(is_same).then_some(whole)
}

/// The canonical spelling of a decoded path.
fn plain(decoded: &str) -> Option<String> {
    if !decoded.starts_with(['/', '\\']) {
        return None;
    }
    let mut segments: Vec<&str> = Vec::new();
    let (mut climbs, mut identity) = (false, false);
    for segment in decoded.split(['/', '\\']) {
        let segment = segment.split([';', '?', '#']).next().unwrap_or_default();
        let name = segment.trim_start().trim_end_matches(['.', ' ']);
        if name.is_empty() && segment.trim().len() > 1 {
            climbs = true;
            segments.pop();
        } else if !name.is_empty() {
            identity |= ends_an_identity(name);
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

/// Whether a canonical path has `metadata` followed by `identity` at any depth. With a host, a scheme or
/// an empty segment in front, as in `//host/metadata/identity`, servers may read the rest as the path.
#[must_use]
pub fn names_node_identity(canonical: &str) -> bool {
    has_row(canonical, &AZURE)
}

/// Whether a canonical path names the machine's identity in another cloud than Azure, at any depth.
#[must_use]
pub fn names_other_identity(canonical: &str) -> bool {
    OTHER_CLOUDS.iter().any(|row| has_row(canonical, row))
}

/// Whether the path has these segments in a row, `*` for any.
fn has_row(path: &str, row: &[&str]) -> bool {
    path.match_indices('/').any(|(slash, _)| {
        let rest = path.get(slash + 1..).unwrap_or_default();
        let mut segments = rest.split('/');
        row.iter().all(|wanted| {
            let segment = segments.next();
            segment.is_some_and(|segment| *wanted == "*" || has_word(segment, wanted))
        })
    })
}

fn ends_an_identity(segment: &str) -> bool {
    let rows = OTHER_CLOUDS.iter().copied().chain([&AZURE[..]]);
    rows.filter_map(<[_]>::last)
        .any(|last| has_word(segment, last))
}

/// Whether a segment is `word` to a server that drops a scheme, a port, a stream of NTFS (`::$DATA`) or an
/// extension.
fn has_word(segment: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    segment.split(|c| !is_part(c)).any(|part| part == word)
}

/// A path without the parameters of its segments, which end at one of `slashes`.
fn without_parameters(path: &[u8], slashes: &[u8]) -> Vec<u8> {
    let mut is_parameter = false;
    let kept = path.iter().filter(|byte| {
        is_parameter = **byte == b';' || (is_parameter && !slashes.contains(byte));
        !is_parameter
    });
    kept.copied().collect()
}

/// `path` in lower case, decoded until it no longer changes; `None` unless it is printable ASCII
/// without `%` then.
fn decoded(path: impl AsRef<[u8]>) -> Option<String> {
    let path = stages(path.as_ref()).last()?;
    if path
        .iter()
        .any(|byte| *byte == b'%' || !matches!(byte, b' '..=b'~'))
    {
        return None;
    }
    String::from_utf8(path.to_ascii_lowercase()).ok()
}

/// A path as it is, and after each decoding that changes it.
fn stages(path: &(impl AsRef<[u8]> + ?Sized)) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let first = Cow::Borrowed(path.as_ref());
    let stages = std::iter::successors(Some(first), |path| match Cow::from(percent_decode(path)) {
        Cow::Borrowed(_) => None,
        Cow::Owned(shorter) => Some(Cow::Owned(shorter)),
    });
    stages.take(MAX_DECODINGS + 1)
}

/// Clients encode a path once or twice. A path that needs more decoding than this is refused.
const MAX_DECODINGS: usize = 8;

/// IMDS D9, CVE-2022-23551.
const AZURE: [&str; 2] = ["metadata", "identity"];

/// Paths at 169.254.169.254 that give a machine's identity in other clouds: credentials, or a token or a
/// signed document that is exchanged for them. DigitalOcean, Hetzner, Scaleway and OpenStack itself have
/// none.
const OTHER_CLOUDS: [&[&str]; 13] = [
    // Google Cloud and Yandex Cloud: `/computeMetadata/v1/instance/service-accounts/…`, and Google's form
    // before v1.
    &["computemetadata"],
    &["meta-data", "service-accounts"],
    // AWS; Alibaba Cloud (`ram`) and Tencent Cloud (`cam`) have its layout at addresses of their own.
    &["meta-data", "iam"],
    &["meta-data", "ram"],
    &["meta-data", "cam"],
    &["meta-data", "identity-credentials"],
    &["security-credentials"],
    // A signed document that AWS and Alibaba Cloud, and servers such as Vault, take for the machine.
    &["instance-identity"],
    // The session token of AWS's and Alibaba Cloud's IMDSv2, without which the above give nothing.
    &["latest", "api", "token"],
    // Oracle Cloud: the key and certificate of the instance principal.
    &["opc", "*", "identity"],
    // Huawei Cloud.
    &["openstack", "*", "securitykey"],
    // IBM Cloud, in two versions.
    &["instance_identity"],
    &["identity", "v1"],
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_identity_paths_of_other_clouds() {
        for path in [
            "/latest/meta-data/iam/security-credentials/role",
            "/2021-07-15/meta-data/iam/info",
            "/LATEST/api/token",
            "/latest/dynamic/instance-identity/document",
            "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
            "/latest/meta-data/ram/security-credentials/",
            "/latest/meta-data/cam/security-credentials/",
            "/computeMetadata/v1/instance/service-accounts/default/token",
            "/computemetadata/",
            "/0.1/meta-data/service-accounts/default/acquire",
            "/opc/v1/identity/key.pem",
            "/opc/v2/identity/cert.pem",
            "/openstack/latest/securitykey",
            "/instance_identity/v1/iam_token",
            "/identity/v1/iam_tokens",
            "//host/latest//meta-data/%69am/",
            r"/\host\opc\v2\identity",
        ] {
            let canonical = canonical(path).unwrap();
            assert!(names_other_identity(&canonical), "{path}");
        }
        for path in [
            "/latest/x/../meta-data/iam/",
            "/computeMetadata/v1/../v1/",
            "/opc/v2/instance/%2e%2e/identity/key.pem",
            r"/\host\opc\v2;a\identity",
        ] {
            let canonical = canonical(path);
            assert!(
                canonical.is_none_or(|it| names_other_identity(&it)),
                "{path}"
            );
        }
        for path in [
            "/",
            "/latest/meta-data/instance-id",
            "/latest/user-data",
            "/metadata/instance/compute",
            "/metadata/v1/id",
            "/opc/v2/instance/",
            "/openstack/latest/meta_data.json",
            "/api/token",
        ] {
            let canonical = canonical(path).unwrap();
            assert!(!names_other_identity(&canonical), "{path}");
        }
    }

    #[test]
    fn refuses_a_slash_in_a_parameter() {
        for path in [
            "/metadata/;p%2fx/identity/",
            "/m%65tadata/;p%252fm%65tadata%252fx/%69dentity/",
            "/metadata/;p%5cx/identity",
            "/metadata/%3bp%252fx/identity",
            r"/metadata/;p\x/identity",
        ] {
            assert_eq!(canonical(path), None, "{path}");
        }
        for path in ["/a;p=1/b", "/a;p=%20/b", "/a%3bp/b", "/a%2fb"] {
            assert_eq!(canonical(path).as_deref(), Some("/a/b"), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_is_its_own(path in r"[/\\.;%a-zA-Z0-9 ?#-]{0,40}") {
            if let Some(once) = canonical(&path) {
                prop_assert_eq!(canonical(&once), Some(once));
            }
        }
    }
}
