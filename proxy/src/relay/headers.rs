//! Headers that are not relayed.

use http::HeaderMap;
use http::header::{self, HeaderName};

/// Removes the headers of RFC 9110, section 7.6.1.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes headers that name another path than the target: a server that follows one would answer for
/// the node's identity (law 1).
pub(super) fn remove_other_paths(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .keys()
        .filter(|name| names_a_path(name.as_str()))
        .cloned()
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Whether a header (in lower case) names a path. CGI and WSGI read `_` as `-`.
fn names_a_path(name: &str) -> bool {
    let name = name.replace('_', "-");
    let last = name.rsplit('-').next().unwrap_or_default();
    let is_like = name.starts_with("x-") && LAST_WORDS.contains(&last);
    is_like || OTHER_PATHS.contains(&&*name)
}

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `X-…` headers that end in one of these words name a path, with these readers among others:
///
/// | header | read by |
/// |---|---|
/// | `X-Original-URL` | IIS URL Rewrite, ASP.NET, Symfony, Zend, oauth2-proxy |
/// | `X-Rewrite-URL` | IIS with ISAPI_Rewrite, Zend, Symfony |
/// | `X-Waws-Unencoded-Url` | Azure App Service |
/// | `X-Original-URI`, `X-Original-Path` | servers behind nginx and ingress-nginx |
/// | `X-Forwarded-URI`, `X-Forwarded-Url` | servers behind Caddy and Traefik |
/// | `X-Forwarded-Path`, `X-Envoy-Original-Path` | servers behind Kong and Envoy |
/// | `X-Forwarded-Prefix` | Spring, ASP.NET Core, Flask (werkzeug) |
/// | `X-HTTP-DestinationURL`, `X-Proxy-URL`, `X-Request-URI`, `X-Override-URL` | gateways |
const LAST_WORDS: [&str; 7] = [
    "destinationurl",
    "location",
    "path",
    "pathbase",
    "prefix",
    "uri",
    "url",
];

/// Others, with these readers: `X-Accel-Redirect` nginx; `X-Script-Name`, `Script-Name` and `Path-Info`
/// WSGI servers; `X-Original-Request`, `X-HTTP-Path-Override` gateways; `Base-Url` and `Request-Uri`
/// frameworks of PHP; `Destination` WebDAV.
const OTHER_PATHS: [&str; 9] = [
    "base-url",
    "destination",
    "path-info",
    "request-uri",
    "script-name",
    "x-accel-redirect",
    "x-http-path-override",
    "x-original-request",
    "x-script-name",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn left(lines: &[(&'static str, &str)], remove: fn(&mut HeaderMap)) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        remove(&mut headers);
        headers
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect()
    }

    #[test]
    fn removes_hop_by_hop_headers() {
        let lines = [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("metadata", "true"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        assert_eq!(
            left(&lines, remove_hop_by_hop),
            ["metadata", "x-forwarded-for"]
        );
    }

    #[test]
    fn removes_headers_that_name_another_path() {
        for name in [
            "x-original-url",
            "x_original_url",
            "x-rewrite-url",
            "x-waws-unencoded-url",
            "x-original-uri",
            "x-forwarded-uri",
            "x-forwarded-path",
            "x-forwarded-prefix",
            "x-envoy-original-path",
            "x-http-destinationurl",
            "x-accel-redirect",
            "script_name",
            "destination",
        ] {
            let lines = [
                (name, "/metadata/identity/info"),
                (name, "/"),
                ("metadata", "true"),
            ];
            assert_eq!(left(&lines, remove_other_paths), ["metadata"], "{name}");
        }
        let kept = [
            ("metadata", "true"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-ms-client-request-id", "1"),
            ("user-agent", "app"),
            ("x-aws-ec2-metadata-token-ttl-seconds", "60"),
        ];
        assert_eq!(left(&kept, remove_other_paths), kept.map(|(name, _)| name));
    }
}
