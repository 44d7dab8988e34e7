//! The projected service account token: its volume, its mounts, its path in each container.

use contract::token;

use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::pod::{Container, Pod};
use crate::inject::output::manifest::{
    KeyToPath, LabelSelector, Projected, Source, Value, Volume, VolumeMount,
};
use crate::inject::policy::config::CaSource;
use crate::inject::request::options::PodOptions;

/// The value of `AZURE_KUBERNETES_CA_FILE`, as in upstream.
pub(crate) const CA_FILE: &str = "/var/run/secrets/azure/wi/ca-cert/ca.crt";

/// The volume with the token: one that the pod has already, or a new one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenVolume<'a> {
    name: &'a str,
    /// The token's path in the volume.
    file: &'a str,
    /// `None` if the pod has a volume with the token.
    new: Option<Volume<'a>>,
    authority: Option<Authority<'a>>,
}

/// The volume with the certificate authority of the token proxy (identity bindings).
#[derive(Debug, PartialEq, Eq)]
struct Authority<'a> {
    /// `None` if the pod has the volume.
    new: Option<Volume<'a>>,
}

impl<'a> TokenVolume<'a> {
    /// Prefers the pod's volume of our name, then any that projects a token for the audience (such
    /// as upstream's, whose name varies), then a new one.
    pub(crate) fn choose(
        pod: &'a Pod<'a>,
        options: &PodOptions<'a>,
        warnings: &mut Warnings,
    ) -> Self {
        let audience = options.audience;
        let authority = options.bindings.and_then(|bindings| bindings.ca.as_ref());
        let authority = authority.map(|ca| Authority {
            new: (!has_volume(pod, CA_VOLUME)).then(|| ca_volume(ca)),
        });
        if let Some((name, file)) = existing(pod, audience, warnings) {
            return Self {
                name,
                file,
                new: None,
                authority,
            };
        }
        let source = Source::ServiceAccountToken {
            audience,
            expiration_seconds: options.expiration_seconds,
            path: token::FILE,
        };
        Self {
            name: token::VOLUME,
            file: token::FILE,
            new: Some(projected(token::VOLUME, source)),
            authority,
        }
    }

    /// The volumes that the pod lacks.
    pub(crate) fn new_volumes(&self) -> impl Iterator<Item = Volume<'a>> {
        let authority = self.authority.as_ref().and_then(|authority| authority.new);
        authority.into_iter().chain(self.new)
    }

    /// The mounts that the container lacks, and the token's path in it.
    pub(crate) fn mounts_for<'v>(
        &self,
        container: &'v Container<'_>,
    ) -> (Vec<VolumeMount<'a>>, Value<'v>)
    where
        'a: 'v,
    {
        let mut mounts = Vec::new();
        if self.authority.is_some() && !has_mount(container, CA_VOLUME, CA_DIRECTORY) {
            mounts.push(mount(CA_VOLUME, CA_DIRECTORY));
        }
        let mut whole = container.mounts().iter().filter(|it| it.is_whole());
        if let Some(existing) = whole.find(|it| it.name.as_str() == self.name) {
            return (mounts, self.path_in(existing.directory()));
        }
        if !has_mount(container, self.name, token::DIRECTORY) {
            mounts.push(mount(self.name, token::DIRECTORY));
        }
        (mounts, self.path_in(token::DIRECTORY))
    }

    fn path_in<'v>(&self, directory: &'v str) -> Value<'v>
    where
        'a: 'v,
    {
        if directory == token::DIRECTORY && self.file == token::FILE {
            Value::Text(token::PATH)
        } else {
            Value::File {
                directory,
                file: self.file,
            }
        }
    }
}

/// The pod's own volume with the token, and the token's path in it.
fn existing<'a>(
    pod: &'a Pod<'_>,
    audience: &str,
    warnings: &mut Warnings,
) -> Option<(&'a str, &'a str)> {
    let mut volumes = pod.volumes().iter();
    if let Some(named) = volumes.find(|it| it.name.as_str() == token::VOLUME) {
        let mut tokens = named.tokens();
        let token = tokens.find(|token| token.audience.as_str() == audience);
        if token.is_none() {
            warnings.push(|| {
                format!(
                    "volume {} of the pod projects no token for audience {audience}: it is used \
                    unchanged",
                    token::VOLUME
                )
            });
        }
        let file = token.map_or(token::FILE, |token| token.path.as_str());
        return Some((token::VOLUME, file));
    }
    let tokens = pod.volumes().iter().flat_map(|volume| {
        let tokens = volume.tokens();
        tokens.map(|token| (volume.name.as_str(), token))
    });
    let mut usable = tokens.filter(|(_, token)| token.audience.as_str() == audience);
    usable
        .next()
        .map(|(name, token)| (name, token.path.as_str()))
}

fn has_volume(pod: &Pod<'_>, name: &str) -> bool {
    let mut volumes = pod.volumes().iter();
    volumes.any(|volume| volume.name.as_str() == name)
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

const CA_VOLUME: &str = "azure-identity-token-proxy-ca";
/// The directory of [`CA_FILE`].
const CA_DIRECTORY: &str = "/var/run/secrets/azure/wi/ca-cert";
