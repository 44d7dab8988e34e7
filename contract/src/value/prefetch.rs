//! The resources whose tokens the proxy gets before the application starts.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The most bytes of a resource, several times the longest identifier of one.
pub const MAX_RESOURCE: usize = 1024;

/// Resources separated by commas, each as the application spells it: two spellings are two tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefetch(Vec<String>);

/// The text is not a list of resources.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PrefetchError {
    /// It has white space, a control character or `$(` inside of a resource.
    #[error(
        "separate resources with commas, without white space or control characters inside, and without $("
    )]
    Character,
    /// It has no resource.
    #[error("name at least one resource, such as https://vault.azure.net")]
    Empty,
    /// It has a scope, which SDKs turn into a resource before they ask IMDS.
    #[error(
        "leave out /.default: that is a scope, and the application asks for the resource before it"
    )]
    Scope,
    /// A resource is too long.
    #[error("a resource has at most {MAX_RESOURCE} bytes")]
    TooLong,
    /// There are too many.
    #[error("name at most {max} resources", max = Prefetch::MAX_COUNT)]
    TooMany,
}

impl Prefetch {
    /// The most resources: their exchanges run at once.
    pub const MAX_COUNT: usize = 10;

    /// The resources, each once.
    #[must_use]
    pub fn resources(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Prefetch {
    type Err = PrefetchError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut resources: Vec<String> = Vec::new();
        for resource in text.split(',').map(str::trim) {
            if resource.is_empty() || resources.iter().any(|seen| seen == resource) {
                continue;
            }
            check(resource)?;
            if resources.len() == Self::MAX_COUNT {
                return Err(PrefetchError::TooMany);
            }
            resources.push(resource.to_owned());
        }
        if resources.is_empty() {
            return Err(PrefetchError::Empty);
        }
        Ok(Self(resources))
    }
}

impl fmt::Display for Prefetch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(","))
    }
}

fn check(resource: &str) -> Result<(), PrefetchError> {
    let is_odd = |c: char| {
        c.is_whitespace() || c == char::REPLACEMENT_CHARACTER || crate::terminal::is_control(c)
    };
    if resource.len() > MAX_RESOURCE {
        Err(PrefetchError::TooLong)
    // The kubelet would replace `$(NAME)` with a variable of the container, perhaps a secret.
    } else if resource.contains(is_odd) || resource.contains("$(") {
        Err(PrefetchError::Character)
    } else if resource.ends_with("/.default") {
        Err(PrefetchError::Scope)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_spelling_and_each_resource_once() {
        let list: Prefetch =
            " https://vault.azure.net,\n https://vault.azure.net/ ,api://a,api://a,"
                .parse()
                .unwrap();
        let wanted = [
            "https://vault.azure.net",
            "https://vault.azure.net/",
            "api://a",
        ];
        assert_eq!(list.resources(), wanted);
        assert_eq!(list.to_string(), wanted.join(","));
    }

    #[test]
    fn says_what_is_wrong() {
        let many: Vec<_> = (0..=Prefetch::MAX_COUNT)
            .map(|nth| nth.to_string())
            .collect();
        let long = "x".repeat(MAX_RESOURCE + 1);
        for (text, error) in [
            ("", PrefetchError::Empty),
            (" , ", PrefetchError::Empty),
            ("https://a https://b", PrefetchError::Character),
            ("https://a\u{202e}", PrefetchError::Character),
            ("$(AZWI_IDENTITY_HEADER)", PrefetchError::Character),
            ("https://vault.azure.net/.default", PrefetchError::Scope),
            (&*long, PrefetchError::TooLong),
            (&*many.join(","), PrefetchError::TooMany),
        ] {
            assert_eq!(text.parse::<Prefetch>(), Err(error), "{text}");
        }
        assert!(many[1..].join(",").parse::<Prefetch>().is_ok());
    }
}
