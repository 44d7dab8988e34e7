//! The operator's settings: what counts as a fault.

use super::version::Version;

/// What the pods of a cluster should have.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The audiences of the webhook's tokens. One of them is enough.
    pub audiences: Vec<String>,
    /// The images of the injected containers, the webhook's own first. Their tags do not matter.
    pub images: Vec<String>,
    /// The oldest version of the injected containers, none for any.
    pub min_version: Option<Version>,
}

impl Policy {
    /// Whether the webhook injects containers of the oldest version or a newer one, as far as its image says.
    #[must_use]
    pub fn is_met_by_the_webhook(&self) -> bool {
        let current = self.images.first().and_then(|it| Version::of_image(it));
        match (self.min_version, current) {
            (Some(min), Some(current)) => current >= min,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}
