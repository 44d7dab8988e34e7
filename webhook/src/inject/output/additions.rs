//! Everything that is added to one pod, as a plain value. It is decided in [`decision`] and written
//! as a JSON Patch by [`patch`]; tests compare it.
//!
//! It borrows from the pod, the settings and the service account, so that a pod with thousands of
//! containers takes little memory.
//!
//! [`decision`]: crate::inject::decision
//! [`patch`]: super::patch

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::manifest::{EnvVar, Volume, VolumeMount};
use super::template::Template;
use crate::inject::input::pod::Place;

/// Everything that is added to one pod.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Additions<'a> {
    /// The additions to each container, in the pod's order. Containers that get nothing are left out.
    pub(crate) containers: Vec<ContainerAdditions<'a>>,
    pub(crate) volumes: Vec<Volume<'a>>,
    /// Moves of the webhook's own init containers, one after another.
    pub(crate) moves: Vec<Move>,
    /// At most one entry for each of the pod's lists.
    pub(crate) new_containers: Vec<NewContainers<'a>>,
    pub(crate) annotations: BTreeMap<&'static str, Cow<'a, str>>,
}

/// The additions to one of the pod's containers.
#[derive(Debug, PartialEq)]
pub(crate) struct ContainerAdditions<'a> {
    pub(crate) at: Place,
    pub(crate) mounts: Vec<VolumeMount<'a>>,
    pub(crate) variables: Vec<EnvVar<'a>>,
    pub(crate) replacements: Vec<Replacement<'a>>,
}

impl ContainerAdditions<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.mounts.is_empty() && self.variables.is_empty() && self.replacements.is_empty()
    }

    /// A lower bound of the bytes that these additions take in a patch.
    pub(crate) fn least_length(&self) -> usize {
        let mounts = self
            .mounts
            .iter()
            .map(|mount| mount.name.len() + mount.mount_path.len());
        let variables = self
            .variables
            .iter()
            .map(|variable| variable.name.len() + variable.value.len());
        mounts.sum::<usize>() + variables.sum::<usize>()
    }
}

/// Another value for a variable that the webhook injected itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacement<'a> {
    pub(crate) variable: &'static str,
    /// The variable's index in the container's `env`.
    pub(crate) index: usize,
    pub(crate) value: &'a str,
}

/// An init container of the webhook's that another tool has put behind others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// Its index after the moves before this one.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Containers that are inserted one after another into one of the pod's lists.
#[derive(Debug, PartialEq)]
pub(crate) struct NewContainers<'a> {
    /// The place of the first one, after all moves.
    pub(crate) at: Place,
    pub(crate) containers: Vec<NewContainer<'a>>,
}

/// A container of the webhook's: the part that many pods share, and the part that is this pod's own.
#[derive(Debug, PartialEq)]
pub(crate) struct NewContainer<'a> {
    pub(crate) template: Cow<'a, Template>,
    pub(crate) variables: Vec<EnvVar<'a>>,
    pub(crate) mounts: Vec<VolumeMount<'a>>,
}
