//! Labels, annotations and node selectors: the product's own keys, and the few others that a decision reads.

use std::fmt;

use contract::annotation::PREFIX;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::text::Text;

/// The container that `kubectl logs` and `kubectl exec` use by default.
pub(crate) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// Marks the API object that mirrors a static pod.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels of nodes that name the operating system.
pub(super) const NODE_LABELS: [&str; 8] = [
    OS,
    BETA_OS,
    WINDOWS_BUILD,
    AKS_SKU,
    "kubernetes.azure.com/os-sku-effective",
    "kubernetes.azure.com/os-sku-requested",
    GKE_DISTRIBUTION,
    OPENSHIFT_ID,
];
pub(super) const OS: &str = "kubernetes.io/os";
/// Deprecated, but the kubelet still sets it.
pub(super) const BETA_OS: &str = "beta.kubernetes.io/os";
/// Only nodes with Windows have it.
pub(super) const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";
/// `Windows2022`, `Ubuntu`, `AzureLinux` and others, on AKS.
const AKS_SKU: &str = "kubernetes.azure.com/os-sku";
/// `windows_ltsc`, `cos` and others, on GKE.
const GKE_DISTRIBUTION: &str = "cloud.google.com/gke-os-distribution";
/// `Windows`, `rhel` and others, on OpenShift.
const OPENSHIFT_ID: &str = "node.openshift.io/os_id";

/// Entries of a map of strings, in the order of the review. Keys that are not read are dropped.
#[derive(Debug, Default)]
pub(crate) struct Entries<'a>(Vec<(Text<'a>, Text<'a>)>);

impl Entries<'_> {
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name.as_str() == key)?;
        Some(value.as_str())
    }

    /// Keys with the product's prefix.
    pub(crate) fn own_keys(&self) -> impl Iterator<Item = &str> {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(|name| name.starts_with(PREFIX))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    if is_kept(name.as_str()) {
                        if entries.len() == MAX_COUNT {
                            return Err(Error::custom("too many labels or annotations"));
                        }
                        entries.push((name, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

fn is_kept(key: &str) -> bool {
    key.starts_with(PREFIX)
        || [DEFAULT_CONTAINER, MIRROR].contains(&key)
        || NODE_LABELS.contains(&key)
}

/// A map can have each key once, and the product has some 20 keys. Each kept entry takes more memory than
/// it has in the review.
const MAX_COUNT: usize = 4_096;
