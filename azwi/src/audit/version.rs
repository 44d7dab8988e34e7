//! Versions in the tags of images.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A released version. A pre-release counts as its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The text is no version.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("write a version as MAJOR.MINOR.PATCH, for example 0.1.0")]
pub struct VersionError;

impl Version {
    /// The version in the tag of an image, `None` for an image by its digest alone and for other tags.
    #[must_use]
    pub fn of_image(image: &str) -> Option<Self> {
        let (image, _) = image.split_once('@').unwrap_or((image, ""));
        let (_, tag) = image.rsplit_once(':')?;
        tag.parse().ok()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let release = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = release.split('.');
        let mut part = || {
            let digits = parts.next().ok_or(VersionError)?;
            let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
            let number = digits.parse().ok().filter(|_| is_number);
            number.ok_or(VersionError)
        };
        let version = Self {
            major: part()?,
            minor: part()?,
            patch: part()?,
        };
        match parts.next() {
            None => Ok(version),
            Some(_) => Err(VersionError),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_versions_by_number() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("v0.9.0") < version("0.10.0"));
        assert!(version("1.2.3") < version("1.2.10-rc.1"));
        assert_eq!(version("v1.2.3+build"), version("1.2.3"));
        assert_eq!(version("v1.2.3").to_string(), "1.2.3");
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in [
            "",
            "v",
            "1.2",
            "1.2.3.4",
            "1.2.x",
            "+1.2.3",
            "1..3",
            "1.2.99999999999",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn finds_the_version_in_a_tag() {
        let of = |image| Version::of_image(image).map(|it| it.to_string());
        assert_eq!(of("r:5000/a/proxy:v0.1.0").as_deref(), Some("0.1.0"));
        assert_eq!(of("r/proxy:v0.1.0@sha256:0").as_deref(), Some("0.1.0"));
        for image in ["r:5000/a/proxy", "r/proxy@sha256:0", "r/proxy:latest", ""] {
            assert_eq!(of(image), None, "{image}");
        }
    }
}
