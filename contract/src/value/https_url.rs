//! URLs with the scheme `https` and without user, query and fragment.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::host::Host;

/// The Entra authority, such as `https://login.microsoftonline.com/`. It is written with one trailing
/// slash and read with or without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(HttpsUrl);

/// The text is not an authority.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AuthorityError {
    /// It has another scheme, a user, a query or a fragment.
    #[error(
        "the authority host {0:?} must begin with https:// and have no user, query or fragment"
    )]
    NotPlain(String),
    /// It is not a URL.
    #[error(
        "the authority host {0:?} is not a URL such as https://login.microsoftonline.com/ (names with xn-- are not supported)"
    )]
    NotUrl(String),
}

/// Identity bindings: the address of the token proxy (`AZURE_KUBERNETES_TOKEN_PROXY`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenProxy(HttpsUrl);

/// The text is not the address of a token proxy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} must be an https URL without user, query or fragment")]
pub struct TokenProxyError(String);

#[derive(Clone, Debug, PartialEq, Eq)]
struct HttpsUrl {
    host: Host,
    /// Empty, or beginning with a slash and not ending in one.
    path: String,
}

enum HttpsUrlError {
    NotPlain,
    NotUrl,
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HttpsUrl::parse(text)
            .map(Self)
            .map_err(|error| match error {
                HttpsUrlError::NotPlain => AuthorityError::NotPlain(text.trim().to_owned()),
                HttpsUrlError::NotUrl => AuthorityError::NotUrl(text.trim().to_owned()),
            })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/", self.0)
    }
}

impl FromStr for TokenProxy {
    type Err = TokenProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = HttpsUrl::parse(text);
        url.map(Self)
            .map_err(|_| TokenProxyError(text.trim().to_owned()))
    }
}

impl fmt::Display for TokenProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl HttpsUrl {
    fn parse(text: &str) -> Result<Self, HttpsUrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(HttpsUrlError::NotUrl)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !scheme.eq_ignore_ascii_case("https")
            || authority.contains('@')
            || path.contains(['?', '#'])
        {
            return Err(HttpsUrlError::NotPlain);
        }
        if !path.bytes().all(is_path_byte) {
            return Err(HttpsUrlError::NotUrl);
        }
        Ok(Self {
            host: Host::parse(authority).ok_or(HttpsUrlError::NotUrl)?,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://{}{}", self.host.authority(), self.path)
    }
}

/// A character of a path (RFC 3986, section 3.3), or the `%` of an escape.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Result<String, AuthorityError> {
        text.parse::<Authority>().map(|it| it.to_string())
    }

    #[test]
    fn an_authority_ends_in_one_slash() {
        for text in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/",
            " HTTPS://Login.MicrosoftOnline.com//\n",
        ] {
            assert_eq!(
                authority(text).unwrap(),
                "https://login.microsoftonline.com/"
            );
        }
        assert_eq!(
            authority("https://adfs.local:8443/base").unwrap(),
            "https://adfs.local:8443/base/"
        );
    }

    #[test]
    fn rejects_other_authorities_and_says_why() {
        for text in [
            "",
            "login.example",
            "https://",
            "https:///x",
            "https://[::/",
            "https://a b/",
            "https://login.example:99999/",
            "https://a/b c",
            r"https://a/\b",
            "https://\u{fc}/",
        ] {
            assert_eq!(
                authority(text),
                Err(AuthorityError::NotUrl(text.to_owned()))
            );
        }
        for text in [
            "http://a",
            "file:///x",
            "https://u@a/",
            "https://a/?q",
            "https://a#f",
        ] {
            assert_eq!(
                authority(text),
                Err(AuthorityError::NotPlain(text.to_owned()))
            );
        }
    }

    #[test]
    fn a_token_proxy_keeps_its_path() {
        for (text, written) in [
            ("https://proxy/v1/", "https://proxy/v1"),
            ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
        ] {
            assert_eq!(text.parse::<TokenProxy>().unwrap().to_string(), written);
        }
        for text in ["http://a", "https://u@a", "https://a?q", "https://a#f", "a"] {
            assert!(text.parse::<TokenProxy>().is_err(), "{text}");
        }
    }
}
