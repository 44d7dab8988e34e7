//! The projected service account token: its volume, its mounts, its path in each container.

use std::borrow::Cow;

use contract::token as contract_token;

use super::annotation::Wishes;
use super::config::CaSource;
use super::patch::Patch;
use super::pod::{Container, Pod};
use super::spec::{KeyToPath, LabelSelector, Projected, Source, Volume, VolumeMount};
use super::warnings::Warnings;

/// The directory of the file that `AZURE_KUBERNETES_CA_FILE` names.
const CA_DIRECTORY: &str = "/var/run/secrets/azure/wi/ca-cert";

/// The value of `AZURE_KUBERNETES_CA_FILE`, as the peer has it.
pub(crate) const CA_FILE: &str = "/var/run/secrets/azure/wi/ca-cert/ca.crt";

const CA_VOLUME: &str = "azure-identity-token-proxy-ca";

/// The volume with the token: one that the pod has already, or ours.
#[derive(Debug)]
pub(super) struct TokenVolume<'a> {
    name: &'a str,
    /// The token's path in the volume.
    file: &'a str,
    to_add: Vec<Volume<'a>>,
}

impl<'a> TokenVolume<'a> {
    /// Uses the volume of our name, else any that projects a token for our audience (the peer's,
    /// under whatever name), else makes one.
    pub(super) fn choose(pod: &'a Pod<'a>, wishes: &Wishes<'a>, warnings: &mut Warnings) -> Self {
        let mut to_add = Vec::new();
        if let Some(ca) = wishes.bindings.and_then(|bindings| bindings.ca.as_ref())
            && pod
                .volumes()
                .iter()
                .all(|volume| volume.name.as_str() != CA_VOLUME)
        {
            to_add.push(ca_volume(ca));
        }
        if let Some(named) = pod
            .volumes()
            .iter()
            .find(|it| it.name.as_str() == contract_token::VOLUME)
        {
            let token = named
                .tokens()
                .find(|token| token.audience.as_str() == wishes.audience);
            if token.is_none() {
                warnings.push(|| {
                    format!(
                        "volume {} of the pod projects no token for audience {}: it is used as it \
                         is",
                        contract_token::VOLUME,
                        wishes.audience
                    )
                });
            }
            let file = token.map_or(contract_token::FILE, |token| token.path.as_str());
            return Self {
                name: contract_token::VOLUME,
                file,
                to_add,
            };
        }
        for volume in pod.volumes() {
            for token in volume.tokens() {
                if token.audience.as_str() == wishes.audience {
                    return Self {
                        name: volume.name.as_str(),
                        file: token.path.as_str(),
                        to_add,
                    };
                }
            }
        }
        to_add.push(projected(
            contract_token::VOLUME,
            Source::ServiceAccountToken {
                audience: wishes.audience,
                expiration_seconds: wishes.expiration_seconds,
                path: contract_token::FILE,
            },
        ));
        Self {
            name: contract_token::VOLUME,
            file: contract_token::FILE,
            to_add,
        }
    }

    /// The mounts that the container lacks, and the token's path in it.
    pub(super) fn mounts_for(
        &self,
        container: &Container<'_>,
        wishes: &Wishes<'_>,
    ) -> (Vec<VolumeMount<'a>>, Cow<'static, str>) {
        let mut mounts = Vec::new();
        if wants_ca(wishes) && !has_mount(container, CA_VOLUME, CA_DIRECTORY) {
            mounts.push(mount(CA_VOLUME, CA_DIRECTORY));
        }
        let mut whole = container.mounts().iter().filter(|it| it.is_whole());
        if let Some(existing) = whole.find(|it| it.name.as_str() == self.name) {
            return (mounts, self.path_in(existing.directory()));
        }
        if !has_mount(container, self.name, contract_token::DIRECTORY) {
            mounts.push(mount(self.name, contract_token::DIRECTORY));
        }
        (mounts, self.path_in(contract_token::DIRECTORY))
    }

    /// The mounts of a new container, and the token's path in it.
    pub(super) fn mounts_for_new(
        &self,
        wishes: &Wishes<'_>,
    ) -> (Vec<VolumeMount<'a>>, Cow<'static, str>) {
        self.mounts_for(&Container::default(), wishes)
    }

    /// Adds the volumes that the pod lacks.
    pub(super) fn add(&self, pod: &Pod<'_>, patch: &mut Patch) {
        let length = pod.spec.volumes.as_ref().map(Vec::len);
        patch.extend_list("/spec", "volumes", length, &self.to_add);
    }

    fn path_in(&self, directory: &str) -> Cow<'static, str> {
        if directory == contract_token::DIRECTORY && self.file == contract_token::FILE {
            Cow::Borrowed(contract_token::PATH)
        } else {
            Cow::Owned(format!("{directory}/{}", self.file))
        }
    }
}

fn wants_ca(wishes: &Wishes<'_>) -> bool {
    wishes
        .bindings
        .is_some_and(|bindings| bindings.ca.is_some())
}

fn has_mount(container: &Container<'_>, volume: &str, directory: &str) -> bool {
    let mut mounts = container.mounts().iter();
    mounts.any(|it| it.directory() == directory || (it.is_whole() && it.name.as_str() == volume))
}

fn mount<'a>(name: &'a str, mount_path: &'a str) -> VolumeMount<'a> {
    VolumeMount {
        name,
        mount_path,
        read_only: true,
    }
}

fn ca_volume(ca: &CaSource) -> Volume<'_> {
    const FILE: &str = "ca.crt";
    projected(
        CA_VOLUME,
        match ca {
            CaSource::ClusterTrustBundle {
                labels,
                signer_name,
            } => Source::ClusterTrustBundle {
                signer_name,
                label_selector: LabelSelector {
                    match_labels: labels,
                },
                path: FILE,
            },
            CaSource::ConfigMap(name) => Source::ConfigMap {
                name,
                items: [KeyToPath {
                    key: FILE,
                    path: FILE,
                }],
            },
        },
    )
}

fn projected<'a>(name: &'a str, source: Source<'a>) -> Volume<'a> {
    Volume {
        name,
        projected: Projected { sources: [source] },
    }
}
