//! Log lines of refused requests. Drivers of databases hide the answer's text, so the first refusal of each
//! kind and selector is a warning. Availability probes cause none.

use std::sync::{Mutex, PoisonError};

use http::{Method, Uri};
use service_kit::log_rate::{Line, LogRate};
use tracing::{debug, warn};

use super::imds::is_parameter;
use super::refusal::Refusal;
use crate::redact::guids;

/// The part of a request that a log line shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
}

/// Logs refusals: the first of each kind and selector as a warning, later ones at `debug`.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    rate: LogRate,
    /// One for each kind and selector: both are few.
    warned: Mutex<Vec<Refusal>>,
}

impl Refusals {
    /// Logs one. Nothing is known of a request that cannot be read.
    pub(crate) fn log(&self, refusal: &Refusal, asked: Option<Asked<'_>>) {
        let line = self.rate.line();
        if !is_probe(refusal, asked) && self.is_first(refusal) {
            let asked = asked.map(shown);
            let help = refusal.help();
            warn!(%refusal, asked, help, "refused a request");
        } else if let Some(Line { suppressed }) = line {
            debug!(%refusal, suppressed, "refused a request");
        }
    }

    fn is_first(&self, refusal: &Refusal) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !warned.contains(refusal);
        if is_first {
            warned.push(refusal.clone());
        }
        is_first
    }
}

/// Whether an SDK asks like this to find out whether there is an IMDS, and of which version.
fn is_probe(refusal: &Refusal, asked: Option<Asked<'_>>) -> bool {
    let Some(Asked { uri, .. }) = asked else {
        return false;
    };
    match refusal {
        Refusal::NoMetadataHeader => true,
        // azure-identity 1.0 to 1.5 for Python.
        Refusal::NoResource => uri.query().unwrap_or_default().is_empty(),
        // MSAL.NET, for version 2.
        Refusal::NodeIdentity => uri.path().contains("/getplatformmetadata"),
        _ => false,
    }
}

/// Method, path and parameters, without the values of parameters that IMDS does not have: they may be
/// secret.
fn shown(Asked { method, uri }: Asked<'_>) -> String {
    let mut text = format!("{method} {}", uri.path());
    let query = uri.query().unwrap_or_default();
    for (nth, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        text.push(if nth == 0 { '?' } else { '&' });
        text.push_str(&name);
        if is_parameter(&name) {
            text.push('=');
            text.push_str(&value);
        }
    }
    let printable = |c: char| {
        if contract::terminal::is_control(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let text = guids(&text).to_string();
    text.chars().take(LONGEST).map(printable).collect()
}

/// In characters.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(uri: &str) -> String {
        let uri = uri.parse().unwrap();
        let method = &Method::GET;
        super::shown(Asked { method, uri: &uri })
    }

    #[test]
    fn shows_the_parameters_of_imds_alone() {
        let uri = "/metadata/identity/oauth2/token?resource=https%3A%2F%2Fa%1b&key=5ecret&\
                   Object_id=0b1ec7ed-0000-0000-0000-000000000000";
        assert_eq!(
            shown(uri),
            "GET /metadata/identity/oauth2/token?resource=https://a\u{fffd}&key&Object_id=0b1e####"
        );
        assert_eq!(shown(&format!("/{}", "x".repeat(9_000))).len(), LONGEST);
    }

    #[test]
    fn warns_once_for_each_kind() {
        let refusals = Refusals::default();
        for refusal in [Refusal::NoResource, Refusal::Method, Refusal::Secret] {
            assert!(refusals.is_first(&refusal) && !refusals.is_first(&refusal));
        }
    }
}
