//! What the audit reads of workloads, namespaces and Events. Everything else is skipped while the bytes are parsed: a template
//! can have hundreds of thousands of items.

use std::collections::BTreeMap;

use k8s_openapi::api::events::v1::EventSeries;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde::de::IgnoredAny;
use webhook::part::Fields;

use super::owner::controller;

/// What is read of a workload.
#[derive(Clone, Debug)]
pub(super) struct WorkloadFields {
    uid: Option<String>,
    pub(super) controller: Option<OwnerReference>,
    pub(super) progress: Progress,
}

/// What is read of a namespace.
#[derive(Clone, Debug)]
pub(super) struct NamespaceFields {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) is_ending: bool,
}

/// What is read of an Event: when it happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventFields {
    pub(super) event_time: Option<MicroTime>,
    pub(super) series: Option<EventSeries>,
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

impl WorkloadFields {
    /// Whether it is the object with this uid, and not another one of its name.
    pub(super) fn is(&self, uid: &str) -> bool {
        self.uid.as_deref() == Some(uid)
    }
}

impl Fields for WorkloadFields {
    type Wire = Wire;

    fn read(wire: Wire) -> (ObjectMeta, Self) {
        let Wire {
            metadata,
            spec,
            status,
        } = wire;
        let workload = Self {
            uid: metadata.uid,
            controller: metadata.owner_references,
            progress: Progress {
                generation: metadata.generation,
                replicas: spec.unwrap_or_default().replicas,
                status: status.unwrap_or_default(),
            },
        };
        (ObjectMeta::default(), workload)
    }
}

impl Fields for NamespaceFields {
    type Wire = NamespaceWire;

    fn read(NamespaceWire { metadata }: NamespaceWire) -> (ObjectMeta, Self) {
        let namespace = Self {
            labels: metadata.labels.unwrap_or_default(),
            is_ending: metadata.deletion_timestamp.is_some(),
        };
        (ObjectMeta::default(), namespace)
    }
}

impl Fields for EventFields {
    type Wire = Self;

    fn read(event: Self) -> (ObjectMeta, Self) {
        (ObjectMeta::default(), event)
    }
}

/// A workload as it is written.
#[derive(Deserialize)]
pub(super) struct Wire {
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

/// A namespace as it is written.
#[derive(Deserialize)]
pub(super) struct NamespaceWire {
    metadata: NamespaceMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamespaceMetadata {
    labels: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<IgnoredAny>,
}
