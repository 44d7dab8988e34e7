//! Which API servers are reached without the egress proxy of the environment: `NO_PROXY`, as kubectl reads it.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Whether a server is reached directly, by the value of `NO_PROXY`. As for kubectl, the machine itself always is.
pub(super) fn is_direct(server: &Uri, no_proxy: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let address: Option<IpAddr> = host.parse().ok();
    if host.eq_ignore_ascii_case("localhost") || address.is_some_and(|it| it.is_loopback()) {
        return true;
    }
    // The matcher knows no "*." before a domain, and reads ".domain" as the same.
    let no_proxy = no_proxy.replace("*.", ".");
    let proxy = "http://proxy";
    let matcher = Matcher::builder().all(proxy).no(no_proxy).build();
    matcher.intercept(server).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_domains_and_ranges() {
        for (host, no_proxy, expected) in [
            ("api.example.com", "", false),
            ("api.example.com", "example.com", true),
            ("api.example.com", ".example.com, other", true),
            ("api.example.com", "other,*.example.com", true),
            ("API.example.com", "api.EXAMPLE.com", true),
            ("api.example.com", "ple.com", false),
            ("api.example.com", "*", true),
            ("127.0.0.1", "", true),
            ("localhost", "", true),
            ("[::1]", "", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("11.1.2.3", "0.0.0.0/0", true),
            ("[fd00::1]", "fd00::/8", true),
            ("10.1.2.3", "10.0.0.0/99", false),
        ] {
            let server = format!("https://{host}:6443/").parse().unwrap();
            assert_eq!(is_direct(&server, no_proxy), expected, "{host} {no_proxy}");
        }
    }
}
