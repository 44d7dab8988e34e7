//! Why a pod is refused. The user reads these sentences in kubectl's answer.

use std::fmt;

use contract::{annotation as key, container, metadata, token};
use thiserror::Error;

/// A mistake of the user's in a pod or its service account.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// The lifetime of the token is no number or out of range.
    #[error(
        "{owner} has annotation {key} with value {value}: it must be a number of seconds between \
         {min} and {max}",
        key = key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
        min = token::MIN_EXPIRATION_SECONDS,
        max = token::MAX_EXPIRATION_SECONDS
    )]
    Expiration {
        /// Who carries the annotation.
        owner: String,
        /// What it says.
        value: Shown,
    },

    /// The redirect would be made in the node's network namespace (azwi#1050).
    #[error(
        "hostNetwork is set to true, cannot inject proxy sidecar: the redirect would act on the \
         whole node. Remove hostNetwork, or give the pod annotation {mode}: \"environment\", or remove \
         annotation {key} and use an Azure SDK that supports workload identity",
        key = key::INJECT_PROXY_SIDECAR,
        mode = key::PROXY_MODE
    )]
    HostNetwork,

    /// The proxy could not start with it.
    #[error(
        "pod has annotation {key} with {0}: write it as ID=CLIENT_ID, with an object id or a \
         resource id and the client id (a GUID) that belongs to it",
        key = key::IDENTITY_MAP
    )]
    IdentityMap(Shown),

    /// The switch is neither on nor off (azwi#1210).
    #[error(
        "pod has annotation {key} with value {0}: it must be \"true\" or \"false\"",
        key = key::INJECT_PROXY_SIDECAR
    )]
    InjectProxySidecar(Shown),

    /// There is no such account.
    #[error("there is no service account {account} in namespace {namespace}")]
    NoAccount {
        /// The pod's.
        account: Shown,
        /// The pod's, too.
        namespace: Shown,
    },

    /// The port is no port.
    #[error(
        "pod has annotation {key} with value {0}: it must be a port number between 1 and 65535",
        key = key::PROXY_SIDECAR_PORT
    )]
    Port(Shown),

    /// The proxy cannot listen on the port that stands for IMDS itself.
    #[error(
        "pod has annotation {key} with value \"{port}\": that is the port of the metadata service \
         itself. Choose another, such as {default}",
        key = key::PROXY_SIDECAR_PORT,
        port = metadata::PORT,
        default = metadata::DEFAULT_PROXY_PORT
    )]
    PortOfMetadata,

    /// Another container has declared the port.
    #[error(
        "container {container} declares containerPort {port}, which the proxy sidecar would \
         listen on. Give the pod annotation {key} with a free port",
        key = key::PROXY_SIDECAR_PORT
    )]
    PortTaken {
        /// The other container.
        container: Shown,
        /// The port of both.
        port: u16,
    },

    /// There is no such mode.
    #[error(
        "pod has annotation {key} with value {0}: it must be \"redirect\" or \"environment\"",
        key = key::PROXY_MODE
    )]
    ProxyMode(Shown),

    /// The redirect exempts everything that runs as this uid.
    #[error(
        "container {0} runs as user {uid}, which is reserved for {proxy}: its requests would reach \
         the node's own identity. Set runAsUser to another number",
        uid = container::PROXY_UID,
        proxy = container::PROXY
    )]
    ProxyUid(Shown),

    /// A quantity in an annotation is malformed.
    #[error(
        "pod has annotation {annotation} with value {value}: it must be a quantity such as 50m or 64Mi"
    )]
    Quantity {
        /// The annotation's key.
        annotation: &'static str,
        /// What it says.
        value: Shown,
    },

    /// What is added would be larger than what can be stored.
    #[error("the pod would be too large to be stored with what has to be added to its containers")]
    TooLarge,

    /// Windows has neither the redirect nor an image (azwi#1017).
    #[error(
        "the pod runs on Windows, cannot inject proxy sidecar: it exists for Linux alone. Remove \
         annotation {key} and use an Azure SDK that supports workload identity",
        key = key::INJECT_PROXY_SIDECAR
    )]
    Windows,
}

impl Denial {
    /// There is no such account.
    pub fn no_account(account: &str, namespace: &str) -> Self {
        Self::NoAccount {
            account: Shown::new(account),
            namespace: Shown::new(namespace),
        }
    }
}

/// A user's value, quoted, without control characters and not longer than a message can bear.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub(super) fn new(value: &str) -> Self {
        const MAX_CHARACTERS: usize = 63;
        match value.char_indices().nth(MAX_CHARACTERS) {
            Some((end, _)) => Self(format!("{:?}…", value.get(..end).unwrap_or_default())),
            None => Self(format!("{value:?}")),
        }
    }
}

/// The text without what moves a terminal. Names in a review are not checked yet, and what is made of
/// them reaches terminals and logs.
pub fn printable(text: &str) -> String {
    text.replace(contract::terminal::moves, "\u{fffd}")
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_safely() {
        assert_eq!(Shown::new("maybe").to_string(), "\"maybe\"");
        assert_eq!(
            Shown::new("a\u{1b}[31m\n").to_string(),
            "\"a\\u{1b}[31m\\n\""
        );
        assert_eq!(Shown::new(&"é".repeat(100)).to_string().chars().count(), 66);
    }
}
