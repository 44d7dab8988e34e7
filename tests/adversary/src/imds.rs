//! A stand-in for the node's IMDS, of any cloud. It gives its marker for every target that some reader
//! could take for the path of an identity.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use percent_encoding::percent_decode;

use crate::serve;

/// Represents the identity of the node.
pub const MARKER: &str = "the-identity-of-the-node";

/// Listens on a free port of 127.0.0.1, and ends with the runtime.
///
/// # Panics
///
/// When there is no free port.
pub async fn start() -> SocketAddr {
    serve(Router::new().fallback(answer)).await
}

async fn answer(request: Request) -> impl IntoResponse {
    let mut targets = vec![request.uri().to_string()];
    let named = PATH_HEADERS
        .iter()
        .filter_map(|name| request.headers().get(*name));
    targets.extend(named.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let body = if targets.iter().any(|target| is_identity(target)) {
        format!(r#"{{"access_token":"{MARKER}"}}"#)
    } else {
        r#"{"compute":{"name":"node-0"}}"#.to_owned()
    };
    ([("content-type", "application/json")], body)
}

/// Whether a reader could take the target for the path of an identity, in Azure or in another cloud.
fn is_identity(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let mut reading = path.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        if names_identity(&String::from_utf8_lossy(&reading)) {
            return true;
        }
        reading = percent_decode(&reading).collect();
    }
    false
}

fn names_identity(path: &str) -> bool {
    let lower = path.to_lowercase().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in lower.split('/') {
        let bare = segment.split(';').next().unwrap_or_default();
        match bare.trim_matches(|c: char| c.is_whitespace() || c.is_control()) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    IDENTITIES
        .iter()
        .any(|names| segments.windows(names.len()).any(|window| window == *names))
}

/// How often a path is decoded.
const DECODINGS: usize = 4;

/// Headers that some servers read the path from.
pub const PATH_HEADERS: [&str; 6] = [
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "x-http-destinationurl",
];

/// Paths of identities, as segments: Azure's, AWS's, Google's, Alibaba's, Oracle's.
const IDENTITIES: [&[&str]; 7] = [
    &["metadata", "identity"],
    &["latest", "meta-data", "iam"],
    &["latest", "meta-data", "identity-credentials"],
    &["computemetadata", "v1", "instance", "service-accounts"],
    &["latest", "meta-data", "ram"],
    &["opc", "v1", "identity"],
    &["opc", "v2", "identity"],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_an_identity_in_every_spelling() {
        for target in [
            "/metadata/identity/oauth2/token?resource=a",
            "/METADATA/%69dentity",
            "//x/metadata/identity/info",
            "/\\x\\metadata\\identity",
            "/http://h/metadata/identity/info",
            "/metadata/instance/%252e%252e/identity",
            "/metadata;a=b/./%09identity",
            "/latest/meta-data/iam/security-credentials/role",
            "/computeMetadata/v1/instance/service-accounts/default/token",
        ] {
            assert!(is_identity(target), "{target}");
        }
        for target in [
            "/metadata/instance?a=/metadata/identity",
            "/metadata",
            "/identity",
            "*",
        ] {
            assert!(!is_identity(target), "{target}");
        }
    }
}
