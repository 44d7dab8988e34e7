//! The volumes of a pod: their names, their kinds, and the sources of projected ones.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::text::Text;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Volume<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    projected: Option<Projected<'a>>,
    config_map: Option<IgnoredAny>,
    // Not `downwardApi`.
    #[serde(rename = "downwardAPI")]
    downward_api: Option<IgnoredAny>,
    image: Option<IgnoredAny>,
    secret: Option<IgnoredAny>,
    // Kinds that are read-only if they say so.
    azure_disk: Option<Storage>,
    azure_file: Option<Storage>,
    cephfs: Option<Storage>,
    cinder: Option<Storage>,
    csi: Option<Storage>,
    fc: Option<Storage>,
    flex_volume: Option<Storage>,
    gce_persistent_disk: Option<Storage>,
    glusterfs: Option<Storage>,
    iscsi: Option<Storage>,
    nfs: Option<Storage>,
    persistent_volume_claim: Option<Storage>,
    portworx_volume: Option<Storage>,
    quobyte: Option<Storage>,
    rbd: Option<Storage>,
}

impl<'a> Volume<'a> {
    /// The service account tokens that the volume projects.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &ServiceAccountToken<'a>> {
        let sources = self.sources().iter();
        sources.filter_map(|source| source.service_account_token.as_ref())
    }

    /// The sources of a projected volume.
    pub(crate) fn sources(&self) -> &[Source<'a>] {
        let projected = self.projected.as_ref();
        let sources = projected.and_then(|projected| projected.sources.as_deref());
        sources.unwrap_or_default()
    }

    /// Whether Kubernetes mounts the volume read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        let kinds = [
            &self.config_map,
            &self.downward_api,
            &self.image,
            &self.secret,
        ];
        let storage = [
            &self.azure_disk,
            &self.azure_file,
            &self.cephfs,
            &self.cinder,
            &self.csi,
            &self.fc,
            &self.flex_volume,
            &self.gce_persistent_disk,
            &self.glusterfs,
            &self.iscsi,
            &self.nfs,
            &self.persistent_volume_claim,
            &self.portworx_volume,
            &self.quobyte,
            &self.rbd,
        ];
        let mut storage = storage.into_iter().flatten();
        self.projected.is_some()
            || kinds.into_iter().any(Option::is_some)
            || storage.any(|it| it.read_only == Some(true))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Projected<'a> {
    #[serde(borrow)]
    sources: Option<Vec<Source<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Storage {
    read_only: Option<bool>,
}

/// A source of a projected volume.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Source<'a> {
    #[serde(borrow)]
    service_account_token: Option<ServiceAccountToken<'a>>,
    #[serde(borrow)]
    config_map: Option<ConfigMap<'a>>,
    #[serde(borrow)]
    cluster_trust_bundle: Option<ClusterTrustBundle<'a>>,
}

impl Source<'_> {
    /// Whether it projects this ConfigMap's key as a file of the same name.
    pub(crate) fn has_config_map(&self, name: &str, key: &str) -> bool {
        self.config_map.as_ref().is_some_and(|map| {
            let mut items = map.items.iter().flatten();
            let all_keys = map.items.as_ref().is_none_or(Vec::is_empty);
            map.name.as_str() == name
                && (all_keys || items.any(|it| [&it.key, &it.path].map(Text::as_str) == [key; 2]))
        })
    }

    /// Whether it projects the certificates of this signer as this file.
    pub(crate) fn has_trust_bundle(&self, signer: &str, file: &str) -> bool {
        let mut bundle = self.cluster_trust_bundle.iter();
        bundle.any(|it| it.signer_name.as_str() == signer && it.path.as_str() == file)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigMap<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    items: Option<Vec<KeyToPath<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeyToPath<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    path: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClusterTrustBundle<'a> {
    #[serde(borrow)]
    signer_name: Text<'a>,
    #[serde(borrow)]
    path: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceAccountToken<'a> {
    #[serde(borrow)]
    pub(crate) audience: Text<'a>,
    #[serde(borrow)]
    pub(crate) path: Text<'a>,
}
