//! Client ids.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A GUID in the form `8-4-4-4-12` hexadecimal digits, in any case, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guid(Box<str>);

/// The text is not a GUID.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a GUID such as 1b4db7eb-4057-5ddf-91e0-36dec72071f5")]
pub struct GuidError(String);

impl Guid {
    /// The GUID as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if is_guid(text) {
            Ok(Self(text.into()))
        } else {
            Err(GuidError(text.to_owned()))
        }
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `text` is a GUID, without surrounding white space.
#[must_use]
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_either_case() {
        for text in [
            "1b4db7eb-4057-5ddf-91e0-36dec72071f5",
            "1B4DB7EB-4057-5DDF-91E0-36DEC72071F5",
        ] {
            assert_eq!(text.parse::<Guid>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn rejects_other_forms() {
        for text in [
            "",
            "1b4db7eb40575ddf91e036dec72071f5",
            "{1b4db7eb-4057-5ddf-91e0-36dec72071f5}",
            "1b4db7eb-4057-5ddf-91e0-36dec72071f5-",
            "1b4db7eb-4057-5ddf-91e0-36dec72071fg",
            "1b4db7eb-4057-5ddf-91e0-36dec72071f\u{e4}",
            "my-app",
        ] {
            assert!(text.parse::<Guid>().is_err(), "{text:?}");
        }
    }
}
