//! The projected service account token, and the certificates of identity bindings: their volumes, their
//! mounts, their paths in each container.

use std::borrow::Cow;

use contract::{token, variable};

use super::place::{Placed, Provided, ReadOnly, free_name};
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::pod::{Container, Pod};
use crate::inject::input::volume;
use crate::inject::output::manifest::{KeyToPath, Source, Value, Volume, VolumeMount};
use crate::inject::policy::config::CaSource;
use crate::inject::request::options::PodOptions;

/// The value of `AZURE_KUBERNETES_CA_FILE`, as in upstream.
pub(crate) const CA_FILE: &str = "/var/run/secrets/azure/wi/ca-cert/ca.crt";

/// The volumes that containers get, and the token's path in each container.
#[derive(Debug)]
pub(crate) struct TokenVolume<'a> {
    token: Provided<'a>,
    /// The certificates of the token proxy (identity bindings).
    authority: Option<Provided<'a>>,
    read_only: ReadOnly<'a>,
}

/// The mounts that a container lacks, and the paths of the files in it.
#[derive(Debug)]
pub(crate) struct Mounted<'a> {
    pub(crate) mounts: Vec<VolumeMount<'a>>,
    /// Empty if there is no place for it.
    pub(crate) token: Value<'a>,
    /// Empty without identity bindings.
    pub(crate) authority: Value<'a>,
}

impl<'a> TokenVolume<'a> {
    /// Prefers the pod's volume of our name, then any that projects a token for the audience (such
    /// as upstream's, whose name varies), then a new one.
    pub(crate) fn choose(pod: &'a Pod<'a>, options: &PodOptions<'a>) -> Self {
        let authority = options.bindings.and_then(|bindings| bindings.ca.as_ref());
        Self {
            token: token(pod, options),
            authority: authority.map(|ca| self::authority(pod, ca)),
            read_only: ReadOnly::find(pod),
        }
    }

    /// The volumes that the pod lacks.
    pub(crate) fn new_volumes(&self) -> impl Iterator<Item = Volume<'_>> {
        let provided = self.authority.iter().chain([&self.token]);
        provided.filter_map(Provided::new_volume)
    }

    /// Finds a place for each volume in the container.
    pub(crate) fn mounts_for<'v>(
        &'v self,
        container: &'v Container<'_>,
        warnings: &mut Warnings,
    ) -> Mounted<'v> {
        let mut place = |it: &'v Provided<'_>| it.place(container, &self.read_only, warnings);
        let authority = self.authority.as_ref().map(&mut place);
        let token = place(&self.token);
        let mut mounts = Vec::new();
        let mut path = |placed: Placed<'v>| {
            mounts.extend(placed.mount);
            placed.file
        };
        let authority = authority.map_or(Value::Text(""), &mut path);
        let token = path(token);
        Mounted {
            mounts,
            token,
            authority,
        }
    }
}

fn token<'a>(pod: &'a Pod<'a>, options: &PodOptions<'a>) -> Provided<'a> {
    let audience = options.audience;
    let (volume, file, new) = match existing_token(pod, audience) {
        Some((volume, file)) => (Cow::Borrowed(volume), file, None),
        None => {
            let source = Source::ServiceAccountToken {
                audience,
                expiration_seconds: options.expiration_seconds,
                path: token::FILE,
            };
            (free_name(pod, token::VOLUME), token::FILE, Some(source))
        }
    };
    Provided {
        volume,
        new,
        file,
        usual_path: token::PATH,
        directories: TOKEN_DIRECTORIES,
        subject: "its token",
        variable: variable::FEDERATED_TOKEN_FILE,
    }
}

/// The pod's own volume with the token, and the token's path in it.
fn existing_token<'a>(pod: &'a Pod<'_>, audience: &str) -> Option<(&'a str, &'a str)> {
    let tokens = pod.volumes().iter().flat_map(|volume| {
        let tokens = volume.tokens();
        tokens.map(|token| (volume.name.as_str(), token))
    });
    let usable = tokens.filter(|(_, token)| {
        token.audience.as_str() == audience && token.path.as_str().len() <= MAX_PATH
    });
    let mut usable = usable.map(|(name, token)| (name, token.path.as_str()));
    let first = usable.next()?;
    let mut both = std::iter::once(first).chain(usable);
    both.find(|(name, _)| *name == token::VOLUME)
        .or(Some(first))
}

fn authority<'a>(pod: &'a Pod<'_>, ca: &'a CaSource) -> Provided<'a> {
    let is_present = |it: &&volume::Volume<'_>| it.sources().iter().any(|it| projects(it, ca));
    let existing = pod.volumes().iter().find(is_present);
    Provided {
        volume: match existing {
            Some(volume) => Cow::Borrowed(volume.name.as_str()),
            None => free_name(pod, CA_VOLUME),
        },
        new: existing.is_none().then(|| source(ca)),
        file: CA_FILE_NAME,
        usual_path: CA_FILE,
        directories: CA_DIRECTORIES,
        subject: "its file with the token proxy's certificates",
        variable: variable::KUBERNETES_CA_FILE,
    }
}

/// Whether the pod's volume has these certificates already.
fn projects(source: &volume::Source<'_>, ca: &CaSource) -> bool {
    match ca {
        CaSource::ClusterTrustBundle { signer_name, .. } => {
            source.has_trust_bundle(signer_name, CA_FILE_NAME)
        }
        CaSource::ConfigMap(name) => source.has_config_map(name, CA_FILE_NAME),
    }
}

fn source(ca: &CaSource) -> Source<'_> {
    match ca {
        CaSource::ClusterTrustBundle {
            selector,
            signer_name,
        } => Source::ClusterTrustBundle {
            signer_name,
            label_selector: selector,
            path: CA_FILE_NAME,
        },
        CaSource::ConfigMap(name) => Source::ConfigMap {
            name,
            items: [KeyToPath {
                key: CA_FILE_NAME,
                path: CA_FILE_NAME,
            }],
        },
    }
}

/// Bytes of a path in a volume. Linux opens no longer one.
const MAX_PATH: usize = 4_096;

const TOKEN_DIRECTORIES: &[&str] = {
    let [second, third] = token::OTHER_DIRECTORIES;
    &[token::DIRECTORY, second, third]
};

const CA_VOLUME: &str = "azure-identity-token-proxy-ca";
const CA_FILE_NAME: &str = "ca.crt";
/// The first is the directory of [`CA_FILE`].
const CA_DIRECTORIES: &[&str] = &[
    "/var/run/secrets/azure/wi/ca-cert",
    "/azure-workload-identity/ca-cert",
];
