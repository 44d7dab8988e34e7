//! The egress proxy that stands between the pod and Entra.

use std::ffi::OsString;
use std::fmt;

use reqwest::{NoProxy, Proxy, Url};
use thiserror::Error;

/// The address of an egress proxy, and whom it is not asked for.
#[derive(Clone)]
pub struct Egress {
    no_proxy: Option<NoProxy>,
    url: Url,
}

/// What is wrong with the egress proxy's variable. The value is never told: it may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{variable} {mistake}: set it to http://HOST:PORT, or https://HOST:PORT, of the egress proxy"
)]
pub struct EgressError {
    variable: &'static str,
    mistake: Mistake,
}

#[derive(Debug, Error, PartialEq, Eq)]
enum Mistake {
    #[error("cannot be read ({0})")]
    Address(String),
    #[error("has characters that must be percent-encoded, in its user or password perhaps")]
    Characters,
    #[error("has a scheme that is neither http nor https")]
    Scheme,
    #[error("names a SOCKS proxy, which is of no use here")]
    Socks,
}

impl Egress {
    /// Reads it from the environment, of which `variable` gives the values: the first that is not
    /// empty of `HTTPS_PROXY`, `https_proxy`, `ALL_PROXY` and `all_proxy`, as Go and curl have it.
    /// `NO_PROXY` and `no_proxy` are reqwest's matter.
    ///
    /// # Errors
    /// It is set to what is no address of an egress proxy: without one the request would go another
    /// way than it was meant to.
    pub fn from_environment(
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Option<Self>, EgressError> {
        let set = VARIABLES.iter().find_map(|name| {
            let value = variable(name)?;
            let is_set = value.to_str().is_none_or(|value| !value.trim().is_empty());
            is_set.then_some((*name, value))
        });
        let Some((variable, value)) = set else {
            return Ok(None);
        };
        let url = value.to_str().ok_or(Mistake::Characters).and_then(address);
        let url = url.map_err(|mistake| EgressError { variable, mistake })?;
        Ok(Some(Self {
            no_proxy: NoProxy::from_env(),
            url,
        }))
    }

    /// What reqwest makes of it.
    ///
    /// # Errors
    /// It does not take the address.
    pub(super) fn proxy(&self) -> Result<Proxy, reqwest::Error> {
        Ok(Proxy::https(self.url.clone())?.no_proxy(self.no_proxy.clone()))
    }
}

/// The address without what belongs to no egress proxy. The scheme may be left out, and a path
/// follow (golang.org/x/net/http/httpproxy, `parseProxy`).
fn address(value: &str) -> Result<Url, Mistake> {
    let value = value.trim();
    if value.chars().any(|it| it.is_control() || it == '\\') {
        return Err(Mistake::Characters);
    }
    let url = match value.split_once("://") {
        None => Url::parse(&format!("http://{value}")),
        Some((scheme, _)) if is_either(scheme, ["http", "https"]) => Url::parse(value),
        Some((scheme, _)) if is_either(scheme, ["socks5", "socks5h"]) => {
            return Err(Mistake::Socks);
        }
        Some((scheme, _)) if is_either(scheme, ["socks4", "socks4a"]) => {
            return Err(Mistake::Socks);
        }
        Some(_) => return Err(Mistake::Scheme),
    };
    let mut url = url.map_err(|error| Mistake::Address(error.to_string()))?;
    // A password with / ? or # in it ends the address early.
    let rest = [Some(url.path()), url.query(), url.fragment()];
    if rest.into_iter().flatten().any(|part| part.contains('@')) {
        return Err(Mistake::Characters);
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    // reqwest reads it once more, by another library, and goes without where that fails.
    match url.as_str().parse::<http::Uri>() {
        Ok(_) => Ok(url),
        Err(_) => Err(Mistake::Characters),
    }
}

fn is_either(scheme: &str, known: [&str; 2]) -> bool {
    known.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

impl fmt::Debug for Egress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Egress(…)")
    }
}

const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<String>, EgressError> {
        let egress = Egress::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        });
        egress.map(|egress| egress.map(|egress| egress.url.to_string()))
    }

    #[test]
    fn the_forms_that_go_takes_are_taken() {
        for (value, wanted) in [
            ("http://proxy.corp:3128", "http://proxy.corp:3128/"),
            ("HTTPS://proxy.corp:3128", "https://proxy.corp:3128/"),
            ("proxy.corp:3128", "http://proxy.corp:3128/"),
            ("proxy.corp:3128/", "http://proxy.corp:3128/"),
            (" proxy.corp\n", "http://proxy.corp/"),
            ("10.0.0.1:3128", "http://10.0.0.1:3128/"),
            ("http://[fd00::1]:3128/", "http://[fd00::1]:3128/"),
            ("http://proxy:3128/path?query#part", "http://proxy:3128/"),
            ("user:pass@proxy:3128/", "http://user:pass@proxy:3128/"),
            (
                "http://user:p%40ss@proxy:3128",
                "http://user:p%40ss@proxy:3128/",
            ),
            (
                "http://user:p|ss@proxy:3128",
                "http://user:p%7Css@proxy:3128/",
            ),
        ] {
            let read = read(&[("HTTPS_PROXY", value)]).unwrap();
            assert_eq!(read.as_deref(), Some(wanted), "{value}");
        }
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        assert_eq!(read(&[]), Ok(None));
        let all = VARIABLES.map(|name| (name, name));
        for first in 0..all.len() {
            let unset = all.map(|(name, _)| (name, " "));
            let variables = [&unset[..first], &all[first..]].concat();
            let wanted = format!("http://{}/", VARIABLES[first].to_lowercase());
            assert_eq!(read(&variables), Ok(Some(wanted)));
        }
        assert_eq!(read(&VARIABLES.map(|name| (name, ""))), Ok(None));
    }

    #[test]
    fn anything_else_is_a_mistake_and_is_not_repeated() {
        for value in [
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
            "http://user:1/secret@proxy:3128",
            "http://user:1?secret@proxy:3128",
            "http://user:1#secret@proxy:3128",
            "http://user:sec\nret@proxy:3128",
            r"http:\\user:secret@proxy:3128",
        ] {
            let told = read(&[("https_proxy", value)]).unwrap_err().to_string();
            assert!(told.starts_with("https_proxy "), "{value}: {told}");
            for part in ["secret", "user:", "htps", "3128"] {
                assert!(!told.contains(part), "{value}: {told}");
            }
        }
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let egress = Egress::from_environment(|_| Some("http://u:secret@proxy".into()));
        assert!(!format!("{egress:?}").contains("secret"));
    }
}
