//! Tenants of Microsoft Entra.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A tenant: a GUID or a domain. It has the characters that azidentity accepts, and is a segment of a
/// URL's path that no server resolves (`.` and `..` are refused).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant(Box<str>);

/// The text is not a tenant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the tenant {0:?} is neither a GUID nor a domain")]
pub struct TenantError(String);

impl Tenant {
    /// The tenant as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        // `all` is true for an empty text, which is refused, too.
        if text.bytes().all(is_known) && !text.bytes().all(|byte| byte == b'.') {
            Ok(Self(text.into()))
        } else {
            Err(TenantError(text.to_owned()))
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_guids_and_domains() {
        for text in [
            "contoso.onmicrosoft.com",
            "common",
            "11111111-2222-3333-4444-555555555555",
        ] {
            assert_eq!(text.parse::<Tenant>().unwrap().to_string(), text);
        }
        assert_eq!(
            " contoso.com\n".parse::<Tenant>().unwrap().as_str(),
            "contoso.com"
        );
    }

    #[test]
    fn rejects_tenants_that_would_change_the_path() {
        for text in [
            "",
            " ",
            ".",
            "..",
            "a b",
            "a/b",
            "a?b",
            "a\nb",
            "\u{fc}",
            "https://x",
        ] {
            assert!(text.parse::<Tenant>().is_err(), "{text:?}");
        }
    }
}
