//! Reasons to refuse a pod. kubectl shows these sentences to the user.

use std::fmt;

use contract::value::{LingerSeconds, PrefetchError};
use contract::{annotation as key, container, metadata, token};
use thiserror::Error;

use crate::inject::input::account::Account;

/// A mistake of the user's, in a pod or its service account. The pod is not created.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// The token's lifetime is not a number or out of range.
    #[error(
        "{owner} has annotation {key} with value {value}: it must be a number of seconds between \
         {min} and {max}",
        key = key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
        min = token::MIN_EXPIRATION_SECONDS,
        max = token::MAX_EXPIRATION_SECONDS
    )]
    Expiration {
        /// The object with the annotation: `pod`, or `service account NAME`.
        owner: String,
        /// The annotation's value.
        value: Shown,
    },

    /// The time for which a plain sidecar lingers is no number of seconds.
    #[error(
        "pod has annotation {key} with value {0}: it must be a number of seconds from 1 to {max}",
        key = key::PROXY_LINGER_SECONDS,
        max = LingerSeconds::MAX
    )]
    LingerSeconds(Shown),

    /// The redirect would apply to the node's network namespace (azwi#1050).
    #[error(
        "hostNetwork is set to true, cannot inject proxy sidecar: the redirect would act on the \
         whole node. Remove hostNetwork, or give the pod annotation {mode}: \"environment\", or remove \
         annotation {key} and use an Azure SDK that supports workload identity",
        key = key::INJECT_PROXY_SIDECAR,
        mode = key::PROXY_MODE
    )]
    HostNetwork,

    /// A value of the service account that is too long to be kept.
    #[error(
        "service account {account} has annotation {annotation} with a value of more than {max} \
         characters: shorten it",
        max = Account::MAX_VALUE
    )]
    LongValue {
        /// Name of the service account.
        account: Shown,
        /// The annotation's key.
        annotation: &'static str,
    },

    /// A malformed identity map, with which the proxy would not start.
    #[error(
        "pod has annotation {key} with {0}: write it as ID=CLIENT_ID, with an object id or a \
         resource id and the client id (a GUID) that belongs to it",
        key = key::IDENTITY_MAP
    )]
    IdentityMap(Shown),

    /// `inject-proxy-sidecar` is neither true nor false (azwi#1210).
    #[error(
        "pod has annotation {key} with value {0}: it must be \"true\" or \"false\"",
        key = key::INJECT_PROXY_SIDECAR
    )]
    InjectProxySidecar(Shown),

    /// The pod's service account does not exist.
    #[error("there is no service account {account} in namespace {namespace}")]
    NoAccount {
        /// Name of the service account.
        account: Shown,
        /// Namespace of the pod.
        namespace: Shown,
    },

    /// `proxy-sidecar-port` is not a port number.
    #[error(
        "pod has annotation {key} with value {0}: it must be a port number between 1 and 65535",
        key = key::PROXY_SIDECAR_PORT
    )]
    Port(Shown),

    /// The redirect sends port 80 to the proxy, so the proxy cannot listen there itself.
    #[error(
        "pod has annotation {key} with value \"{port}\": that is the port of the metadata service \
         itself. Choose another, such as {default}",
        key = key::PROXY_SIDECAR_PORT,
        port = metadata::PORT,
        default = metadata::DEFAULT_PROXY_PORT
    )]
    PortOfMetadata,

    /// Another container declares the proxy's port.
    #[error(
        "container {container} declares containerPort {port}, which the proxy sidecar would \
         listen on. Give the pod annotation {key} with a free port",
        key = key::PROXY_SIDECAR_PORT
    )]
    PortTaken {
        /// Name of that container.
        container: Shown,
        /// The port number.
        port: u16,
    },

    /// `proxy-quit` is neither true nor false.
    #[error(
        "pod has annotation {key} with value {0}: it must be \"true\" or \"false\"",
        key = key::PROXY_QUIT
    )]
    Quit(Shown),

    /// A malformed list of resources, with which the proxy would not start.
    #[error(
        "pod has annotation {key} with value {value}: {reason}",
        key = key::PROXY_PREFETCH
    )]
    Prefetch {
        /// The annotation's value.
        value: Shown,
        /// What is wrong with it.
        reason: PrefetchError,
    },

    /// `proxy-mode` is neither `redirect` nor `environment`.
    #[error(
        "pod has annotation {key} with value {0}: it must be \"redirect\" or \"environment\"",
        key = key::PROXY_MODE
    )]
    ProxyMode(Shown),

    /// The uid is the proxy's: a redirect without a relay key exempts it.
    #[error(
        "container {0} runs as user {uid}, which is reserved for {proxy}. Set runAsUser to another number",
        uid = container::PROXY_UID,
        proxy = container::PROXY
    )]
    ProxyUid(Shown),

    /// A container has the proxy's name and user, but is another one.
    #[error(
        "container {container} runs as user {uid}, which is reserved for the webhook's {proxy}, and may \
         be another one: {doubt}. Remove it, and the webhook adds its own",
        uid = container::PROXY_UID,
        proxy = container::PROXY
    )]
    ProxyUidInDoubt {
        /// Name of that container.
        container: Shown,
        /// The difference from the webhook's.
        doubt: String,
    },

    /// A malformed quantity.
    #[error(
        "pod has annotation {annotation} with value {value}: it must be a quantity such as 50m or 64Mi"
    )]
    Quantity {
        /// The annotation's key.
        annotation: &'static str,
        /// The annotation's value.
        value: Shown,
    },

    /// The pod with the additions would be too large for etcd.
    #[error("the pod would be too large to be stored with the additions to its containers")]
    TooLarge,

    /// `proxy-verify` is neither `warn` nor `enforce`.
    #[error(
        "pod has annotation {key} with value {0}: it must be \"warn\" or \"enforce\"",
        key = key::PROXY_VERIFY
    )]
    Verify(Shown),

    /// There is no redirect and no image for Windows (azwi#1017).
    #[error(
        "the pod runs on Windows, cannot inject proxy sidecar: it supports Linux only, and the pod's \
         {field} asks for Windows. Remove annotation {key} and use an Azure SDK that supports workload \
         identity",
        key = key::INJECT_PROXY_SIDECAR
    )]
    Windows {
        /// The field of the pod.
        field: &'static str,
    },
}

impl Denial {
    /// The denial for a service account with a value that is too long, by its annotation's key.
    #[must_use]
    pub fn long_value(account: &str, annotation: &'static str) -> Self {
        Self::LongValue {
            account: Shown::new(account),
            annotation,
        }
    }

    /// The denial for a service account that does not exist.
    #[must_use]
    pub fn no_account(account: &str, namespace: &str) -> Self {
        Self::NoAccount {
            account: Shown::new(account),
            namespace: Shown::new(namespace),
        }
    }
}

/// A user's value for a sentence: quoted, without control characters, 63 characters at most.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub(crate) fn new(value: &str) -> Self {
        const MAX_CHARACTERS: usize = 63;
        match value.char_indices().nth(MAX_CHARACTERS) {
            Some((end, _)) => Self(format!("{:?}…", value.get(..end).unwrap_or_default())),
            None => Self(format!("{value:?}")),
        }
    }
}

/// The text with control characters replaced. Names in a review are not validated yet, and sentences
/// with them reach terminals and logs.
pub fn printable(text: &str) -> String {
    text.replace(contract::terminal::is_control, "\u{fffd}")
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
    fn quotes_and_shortens_values() {
        assert_eq!(Shown::new("maybe").to_string(), "\"maybe\"");
        assert_eq!(
            Shown::new("a\u{1b}[31m\n").to_string(),
            "\"a\\u{1b}[31m\\n\""
        );
        assert_eq!(Shown::new(&"é".repeat(100)).to_string().chars().count(), 66);
    }
}
