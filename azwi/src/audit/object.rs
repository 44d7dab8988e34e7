//! What the audit reads of workloads. Everything else is skipped while the bytes are parsed: a template can have
//! hundreds of thousands of items.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::Deserialize;
use serde::de::Deserializer;

use super::owner::controller;

/// An object of kind `K`.
#[derive(Clone, Debug)]
pub(super) struct Object<K> {
    /// The uid alone.
    metadata: ObjectMeta,
    pub(super) controller: Option<OwnerReference>,
    pub(super) progress: Progress,
    kind: PhantomData<K>,
}

/// The progress of a workload's rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) generation: Option<i64>,
    pub(super) replicas: Option<i32>,
    pub(super) status: Status,
}

/// The numbers of a workload's status. Which ones depends on its kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) observed_generation: Option<i64>,
    pub(super) replicas: Option<i32>,
    pub(super) updated_replicas: Option<i32>,
    pub(super) current_revision: Option<String>,
    pub(super) update_revision: Option<String>,
    pub(super) desired_number_scheduled: Option<i32>,
    pub(super) updated_number_scheduled: Option<i32>,
    pub(super) number_misscheduled: Option<i32>,
}

impl Progress {
    /// Whether the status is of the current spec.
    pub(super) fn is_observed(&self) -> bool {
        self.status.observed_generation == self.generation
    }
}

impl<K> Object<K> {
    /// Whether it is the object with this uid, and not another one of its name.
    pub(super) fn is(&self, uid: &str) -> bool {
        self.metadata.uid.as_deref() == Some(uid)
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Object<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de, K> Deserialize<'de> for Object<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire {
            metadata,
            spec,
            status,
        } = Wire::deserialize(deserializer)?;
        Ok(Self {
            metadata: ObjectMeta {
                uid: metadata.uid,
                ..ObjectMeta::default()
            },
            controller: metadata.owner_references,
            progress: Progress {
                generation: metadata.generation,
                replicas: spec.unwrap_or_default().replicas,
                status: status.unwrap_or_default(),
            },
            kind: PhantomData,
        })
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: Option<String>,
    generation: Option<i64>,
    #[serde(deserialize_with = "controller")]
    owner_references: Option<OwnerReference>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i32>,
}
