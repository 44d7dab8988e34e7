//! Resource ids of managed identities.

/// The parts of a managed identity's resource id that `az identity` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceId<'a> {
    /// The subscription.
    pub subscription: &'a str,
    /// The resource group.
    pub group: &'a str,
    /// The identity's name.
    pub name: &'a str,
}

impl<'a> ResourceId<'a> {
    /// Reads `/subscriptions/S/resourceGroups/G/providers/Microsoft.ManagedIdentity/userAssignedIdentities/N`, in
    /// any letter case.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let [
            "",
            subscriptions,
            subscription,
            groups,
            group,
            _,
            _,
            _,
            name,
        ] = parts[..]
        else {
            return None;
        };
        let is_one = subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups.eq_ignore_ascii_case("resourceGroups");
        is_one.then_some(Self {
            subscription,
            group,
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parts_of_an_identity() {
        let text = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/n";
        let expected = ResourceId {
            subscription: "s",
            group: "g",
            name: "n",
        };
        assert_eq!(ResourceId::parse(text), Some(expected));
        for text in [
            "",
            "/subscriptions/s/resourceGroups/g",
            "/a/s/b/g/providers/p/t/n",
        ] {
            assert_eq!(ResourceId::parse(text), None, "{text}");
        }
    }
}
