//! The egress proxy between the pod and Entra.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use contract::value::{EgressProxy, EgressProxyError, NoProxy, NoProxyError};
use reqwest::{Proxy, Url};
use thiserror::Error;

/// The URL of an egress proxy, and the hosts that are reached without it.
#[derive(Clone)]
pub struct Egress {
    no_proxy: Option<NoProxy>,
    url: Url,
}

/// A variable that cannot be used. Ignoring it would bypass the egress proxy. The value is not repeated:
/// it may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{variable}: {reason}")]
pub struct EgressError {
    variable: &'static str,
    reason: Reason,
}

#[derive(Debug, Error, PartialEq, Eq)]
enum Reason {
    #[error("it is not text in UTF-8")]
    Encoding,
    #[error(transparent)]
    NoProxy(#[from] NoProxyError),
    #[error(transparent)]
    Proxy(#[from] EgressProxyError),
}

impl Egress {
    /// Reads environment variables through `variable`. The first one that is not empty wins, as in Go
    /// and curl.
    ///
    /// # Errors
    ///
    /// The URL of the egress proxy, or the list of hosts, is malformed.
    pub fn from_environment(
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Option<Self>, EgressError> {
        let Some((name, proxy)) = first::<EgressProxy>(&PROXY, &variable)? else {
            return Ok(None);
        };
        let url = Url::parse(&proxy.to_string()).map_err(|_| EgressError {
            variable: name,
            reason: EgressProxyError::Address.into(),
        })?;
        let no_proxy = first(&NO_PROXY, &variable)?.map(|(_, hosts)| hosts);
        Ok(Some(Self { no_proxy, url }))
    }

    /// The egress proxy for reqwest.
    ///
    /// # Errors
    ///
    /// reqwest does not accept the URL.
    pub(super) fn proxy(&self) -> Result<Proxy, reqwest::Error> {
        let no_proxy = self.no_proxy.as_ref();
        let no_proxy = no_proxy.and_then(|hosts| reqwest::NoProxy::from_string(hosts.as_str()));
        Ok(Proxy::https(self.url.clone())?.no_proxy(no_proxy))
    }
}

/// The first of the variables that is not empty, and its value.
fn first<T: FromStr<Err: Into<Reason>>>(
    names: &[&'static str],
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Result<Option<(&'static str, T)>, EgressError> {
    let set = names.iter().find_map(|name| {
        let value = variable(name)?;
        let is_set = value.to_str().is_none_or(|value| !value.trim().is_empty());
        is_set.then_some((*name, value))
    });
    let Some((variable, value)) = set else {
        return Ok(None);
    };
    let value = value.to_str().ok_or(Reason::Encoding);
    match value.and_then(|value| value.parse().map_err(Into::into)) {
        Ok(value) => Ok(Some((variable, value))),
        Err(reason) => Err(EgressError { variable, reason }),
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Egress(…)")
    }
}

const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<String>, EgressError> {
        let egress = Egress::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        });
        egress.map(|egress| egress.map(|egress| egress.url.to_string()))
    }

    #[test]
    fn the_first_variable_that_is_set_wins() {
        assert_eq!(read(&[]), Ok(None));
        let all = PROXY.map(|name| (name, name));
        for first in 0..all.len() {
            let unset = all.map(|(name, _)| (name, " "));
            let variables = [&unset[..first], &all[first..]].concat();
            let wanted = format!("http://{}/", PROXY[first].to_lowercase());
            assert_eq!(read(&variables), Ok(Some(wanted)));
        }
        assert_eq!(read(&PROXY.map(|name| (name, ""))), Ok(None));
    }

    #[test]
    fn an_error_names_the_variable_and_hides_the_value() {
        for value in [
            "htps://user:secret@proxy:3128",
            "http://user:sec#ret@proxy:3128",
        ] {
            let error = read(&[("https_proxy", value)]).unwrap_err().to_string();
            assert!(error.starts_with("https_proxy: "), "{value}: {error}");
            for part in ["secret", "user:", "htps", "3128"] {
                assert!(!error.contains(part), "{value}: {error}");
            }
        }
        let proxy = ("HTTPS_PROXY", "proxy:3128");
        let error = read(&[proxy, ("NO_PROXY", "a\nb")])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("NO_PROXY: "), "{error}");
        assert!(read(&[("NO_PROXY", "a\nb")]).is_ok(), "there is no proxy");
    }

    #[test]
    fn debug_hides_the_url() {
        let egress = Egress::from_environment(|_| Some("http://u:secret@proxy".into()));
        assert!(!format!("{egress:?}").contains("secret"));
    }

    proptest! {
        /// reqwest parses the URL with two libraries, and uses no proxy where the second one fails.
        #[test]
        fn both_libraries_of_reqwest_accept_every_egress_proxy(
            text in r"((http|https)://)?([ -~ü]{0,8}@)?([a-zA-Z0-9._-]{1,9}|[0-9.]{1,9}|\[[0-9a-f:.]{1,9}\])(:[0-9]{1,5})?(/[ -~]{0,4})?",
        ) {
            if text.parse::<EgressProxy>().is_ok() {
                let egress = Egress::from_environment(|name| (name == "HTTPS_PROXY").then(|| text.clone().into()));
                let egress = egress.unwrap().unwrap();
                prop_assert!(egress.proxy().is_ok());
                let uri = egress.url.as_str().parse::<http::Uri>();
                prop_assert!(uri.is_ok(), "{}: {:?}", egress.url, uri);
            }
        }
    }
}
