//! The object that controls a pod, or another object.

use contract::name::is_name;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::de::Deserializer;

use super::fold::each;

/// An object that controls others of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) api_version: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
}

impl Owner {
    /// `None` for a kind, name or uid that no object has. The author of the pod chooses them, the API server checks few
    /// of them, and the name becomes a part of a request's path.
    pub(super) fn read(reference: &OwnerReference) -> Option<Self> {
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            ..
        } = reference;
        let is_version = api_version.len() <= MAX_NAME && api_version.split('/').all(is_name);
        let is_kind = !kind.is_empty()
            && kind.len() <= MAX_KIND
            && kind.bytes().all(|it| it.is_ascii_alphanumeric());
        let is_uid = uid.len() <= MAX_UID && !uid.contains(contract::terminal::is_control);
        (is_version && is_kind && is_name(name) && is_uid).then(|| Self {
            api_version: api_version.as_str().into(),
            kind: kind.as_str().into(),
            name: name.as_str().into(),
            uid: uid.as_str().into(),
        })
    }
}

/// The controller among an object's owners, while they are parsed.
pub(super) fn controller<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<OwnerReference>, D::Error> {
    let mut found = None;
    each(deserializer, |it: OwnerReference| {
        if found.is_none() && it.controller == Some(true) {
            found = Some(it);
        }
    })?;
    Ok(found)
}

/// Bytes of the longest name of an object.
pub(super) const MAX_NAME: usize = 253;
/// Bytes of the longest kind.
const MAX_KIND: usize = 63;
/// Bytes of a uid. API servers make 36.
pub(super) const MAX_UID: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: &str, kind: &str, name: &str, uid: &str) -> Option<Owner> {
        Owner::read(&OwnerReference {
            api_version: version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        })
    }

    #[test]
    fn accepts_only_owners_that_can_exist() {
        assert!(read("apps/v1", "ReplicaSet", "shop-1.a", "u").is_some());
        assert!(read("v1", "Pod", "shop", "u").is_some());
        for name in [
            "",
            "a%",
            "a b",
            "x/y",
            "..",
            "a?b",
            "A",
            "a\n",
            &"a".repeat(254),
        ] {
            assert_eq!(read("apps/v1", "ReplicaSet", name, "u"), None, "{name}");
        }
        for version in ["", "apps/", "a b/v1", "\u{1b}"] {
            assert_eq!(read(version, "ReplicaSet", "shop", "u"), None, "{version}");
        }
        for kind in ["", "Replica Set", "\u{1b}[31m", &"K".repeat(64)] {
            assert_eq!(read("apps/v1", kind, "shop", "u"), None, "{kind}");
        }
        for uid in ["\u{1b}", &"u".repeat(65)] {
            assert_eq!(read("apps/v1", "ReplicaSet", "shop", uid), None, "{uid}");
        }
    }
}
