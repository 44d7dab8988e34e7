//! Values that cross from the chart or the webhook into a pod.
//!
//! Each type has one parser ([`FromStr`](std::str::FromStr)), which the webhook uses before it injects
//! the value and the proxy or proxy-init uses when it reads the value. So the webhook never accepts a
//! value that an injected container refuses. Its [`Display`](std::fmt::Display) writes a form that the
//! parser reads as the same value, and its error is the sentence that the user reads.
//!
//! Parsers ignore surrounding white space.

#[cfg(feature = "certificates")]
mod ca_data;
mod egress_proxy;
mod guid;
mod host;
mod https_url;
mod identity_map;
mod linger_seconds;
mod no_proxy;
mod prefetch;
mod proxy_mode;
mod relay_key;
mod relay_policy;
mod server_name;
mod service_port;
mod shutdown;
mod tenant;
mod toggle;
mod verify;

#[cfg(feature = "certificates")]
pub use ca_data::{CaData, CaDataError, MAX_CA_DATA, certificates};
pub use egress_proxy::{EgressProxy, EgressProxyError};
pub use guid::{Guid, GuidError, is_guid};
pub use https_url::{Authority, AuthorityError, TokenProxy, TokenProxyError};
pub use identity_map::{IdentityMap, IdentityMapError};
pub use linger_seconds::{LingerSeconds, LingerSecondsError};
pub use no_proxy::{NoProxy, NoProxyError};
pub use prefetch::{MAX_RESOURCE, Prefetch, PrefetchError};
pub use proxy_mode::{ProxyMode, ProxyModeError};
pub use relay_key::{RelayKey, RelayKeyError};
pub use relay_policy::{RelayPolicy, RelayPolicyError};
pub use server_name::{ServerName, ServerNameError};
pub use service_port::{ServicePort, ServicePortError};
pub use shutdown::{Shutdown, ShutdownError};
pub use tenant::{Tenant, TenantError};
pub use toggle::{Toggle, ToggleError};
pub use verify::{Verify, VerifyError};

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use proptest::prelude::*;

    use super::*;
    use crate::log::{LogFormat, LogLevel};

    /// The text that a parsed value is written as is parsed as the same value.
    fn round_trips<T: FromStr + Display + Debug + PartialEq>(
        text: &str,
    ) -> Result<(), TestCaseError> {
        if let Ok(value) = text.parse::<T>() {
            let written = value.to_string();
            let read = written.parse::<T>().ok();
            prop_assert_eq!(read.as_ref(), Some(&value), "{:?} as {:?}", text, written);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn parses_every_value_that_it_displays(
            any in "\\PC{0,20}",
            word in " ?(allow|deny|linger|now|on|off|redirect|environment|json|text|info|all|warn|enforce|[0-9]{1,5}) ?",
            url in "(https?|HTTPS)://([a-z%:|ü]{1,4}@)?[a-zA-Z0-9._-]{1,8}(:[0-9]{1,5})?[a-z/%?#]{0,4}",
            resources in "[a-z:/.$( é]{0,6}(, ?[a-z:/.]{0,6}){0,3}",
            paths in "/[a-z%2c, ./]{0,6}(, ?/[a-z0-9%;\\\\]{0,6}){0,3}",
            hex in " ?[0-9a-fA-F]{32} ?",
            map in "([a-zA-Z/=]{1,4} ?= ?1b4db7eb-4057-5ddf-91e0-36dec72071f5[;,\n]){0,3}",
        ) {
            for text in [&any, &word, &url, &resources, &paths, &hex, &map] {
                round_trips::<Authority>(text)?;
                round_trips::<EgressProxy>(text)?;
                round_trips::<Guid>(text)?;
                round_trips::<IdentityMap>(text)?;
                round_trips::<LingerSeconds>(text)?;
                round_trips::<LogFormat>(text)?;
                round_trips::<LogLevel>(text)?;
                round_trips::<NoProxy>(text)?;
                round_trips::<Prefetch>(text)?;
                round_trips::<ProxyMode>(text)?;
                round_trips::<RelayKey>(text)?;
                round_trips::<RelayPolicy>(text)?;
                round_trips::<ServerName>(text)?;
                round_trips::<ServicePort>(text)?;
                round_trips::<Shutdown>(text)?;
                round_trips::<Tenant>(text)?;
                round_trips::<Toggle>(text)?;
                round_trips::<TokenProxy>(text)?;
                round_trips::<Verify>(text)?;
            }
        }
    }
}
