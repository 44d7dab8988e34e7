//! The HTTP proxy between the pod and Entra.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use super::host::Host;

/// The URL of an egress proxy (`HTTPS_PROXY`), `http://HOST:PORT` or `https://HOST:PORT` with a user
/// and a password where it needs them. The scheme may be left out, and a path is ignored, as in
/// golang.org/x/net/http/httpproxy.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy {
    is_https: bool,
    /// `USER:PASSWORD`, percent-encoded.
    user_info: Option<String>,
    host: Host,
}

/// The text is not the URL of an egress proxy. No error repeats it: it may hold a password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EgressProxyError {
    /// The host or the port cannot be read.
    #[error(
        "the host or the port of the egress proxy cannot be read (names with xn-- are not supported): write http://HOST:PORT or https://HOST:PORT"
    )]
    Address,
    /// Characters that end a URL or its host early.
    #[error(
        "the egress proxy has characters that must be percent-encoded, perhaps in its user or password: \
         write http://HOST:PORT or https://HOST:PORT"
    )]
    Characters,
    /// Longer than `MAX_LENGTH`.
    #[error("the egress proxy has more than {MAX_LENGTH} bytes")]
    Long,
    /// A scheme other than `http` and `https`.
    #[error(
        "the scheme of the egress proxy is neither http nor https: write http://HOST:PORT or https://HOST:PORT"
    )]
    Scheme,
    /// A SOCKS proxy.
    #[error(
        "the egress proxy is a SOCKS proxy, which is not supported: write http://HOST:PORT or https://HOST:PORT"
    )]
    Socks,
}

impl FromStr for EgressProxy {
    type Err = EgressProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() > MAX_LENGTH {
            return Err(EgressProxyError::Long);
        }
        if text.contains(|it: char| it.is_control() || it == '\\') {
            return Err(EgressProxyError::Characters);
        }
        let (is_https, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) => match &*scheme.to_ascii_lowercase() {
                "http" => (false, rest),
                "https" => (true, rest),
                "socks4" | "socks4a" | "socks5" | "socks5h" => return Err(EgressProxyError::Socks),
                _ => return Err(EgressProxyError::Scheme),
            },
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, ignored) = rest.split_at(end);
        // A password with / ? or # in it ends the authority early.
        if ignored.contains('@') {
            return Err(EgressProxyError::Characters);
        }
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        Ok(Self {
            is_https,
            user_info: user_info.map(|it| utf8_percent_encode(it, ENCODED).to_string()),
            host: Host::parse(host).ok_or(EgressProxyError::Address)?,
        })
    }
}

/// Writes the password, too.
impl fmt::Display for EgressProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://")?;
        if let Some(user_info) = &self.user_info {
            write!(formatter, "{user_info}@")?;
        }
        formatter.write_str(&self.host.authority())
    }
}

/// Hides the password.
impl fmt::Debug for EgressProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EgressProxy(…)")
    }
}

/// In bytes. HTTP libraries accept longer URLs, and no user and password need as much.
const MAX_LENGTH: usize = 8192;

/// Characters that a user and a password may not have (RFC 3986, section 3.2.1). `%` stays, because the
/// text may be encoded already, and so does the `:` between user and password.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'%')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':');

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, EgressProxyError> {
        text.parse::<EgressProxy>().map(|it| it.to_string())
    }

    #[test]
    fn accepts_the_forms_that_go_accepts() {
        for (text, expected) in [
            ("http://proxy.corp:3128", "http://proxy.corp:3128"),
            ("HTTPS://Proxy.corp:3128", "https://proxy.corp:3128"),
            ("proxy.corp:3128", "http://proxy.corp:3128"),
            ("proxy.corp:3128/", "http://proxy.corp:3128"),
            (" proxy.corp\n", "http://proxy.corp"),
            ("10.0.0.1:3128", "http://10.0.0.1:3128"),
            ("http://[fd00::1]:3128/", "http://[fd00::1]:3128"),
            ("http://proxy:3128/path?query#part", "http://proxy:3128"),
            ("user:pass@proxy:3128/", "http://user:pass@proxy:3128"),
            (
                "http://user:p%40ss@proxy:3128",
                "http://user:p%40ss@proxy:3128",
            ),
            (
                "http://user:p|ss@proxy:3128",
                "http://user:p%7Css@proxy:3128",
            ),
            (
                "http://user:p@ss@proxy:3128",
                "http://user:p%40ss@proxy:3128",
            ),
        ] {
            assert_eq!(written(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rejects_anything_else_without_repeating_it() {
        let long = format!("http://user:secret@{}", "a".repeat(MAX_LENGTH));
        for text in [
            "htps://user:secret@proxy:3128",
            "ftp://user:secret@proxy",
            "socks5://user:secret@proxy:1080",
            "SOCKS5H://user:secret@proxy:1080",
            "socks4://secret@proxy",
            "://secret",
            "http://",
            "http://user:secret@",
            "http://user:secret@proxy:99999",
            "http://user:secret@pro xy:3128",
            "http://user:sec#ret@proxy:3128",
            "http://user:p#ss@proxy:3128",
            "http://user:1/secret@proxy:3128",
            "http://user:1?secret@proxy:3128",
            "http://user:1#secret@proxy:3128",
            "http://user:sec\nret@proxy:3128",
            r"http:\\user:secret@proxy:3128",
            &long,
        ] {
            let error = written(text).unwrap_err().to_string();
            for part in ["secret", "user:", "htps", "3128"] {
                assert!(!error.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let proxy: EgressProxy = "http://u:secret@proxy".parse().unwrap();
        assert!(!format!("{proxy:?}").contains("secret"));
    }
}
