//! What a migration needs of the cluster, as plain values.

pub mod pod_identity;
pub mod read;
pub mod template;
pub mod workload;

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::Facts;
use crate::facts::object::Object;
use pod_identity::PodIdentity;
use workload::{Pod, Workload};

/// What was read of the cluster.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The webhook, namespaces and service accounts, and what could not be read. Workloads and pods are in
    /// [`Inventory::workloads`] and [`Inventory::pods`] instead.
    pub facts: Facts,
    /// The objects of pod-managed identity.
    pub pod_identity: PodIdentity,
    /// Workloads whose pods use pod-managed identity, or seem to ask the node's metadata service.
    pub workloads: Vec<Workload>,
    /// The workloads that name a service account, by its namespace and name.
    pub users: BTreeMap<(String, String), BTreeSet<Object>>,
    /// Pods with the label of pod-managed identity or of the webhook, as long as they run.
    pub pods: Vec<Pod>,
    /// Service accounts of [`Inventory::workloads`], by namespace and name.
    pub accounts: BTreeMap<(String, String), AccountDetails>,
}

/// What a new service account needs of the one that it replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountDetails {
    /// The names in `imagePullSecrets`.
    pub image_pull_secrets: Vec<String>,
    /// `automountServiceAccountToken`.
    pub automount: Option<bool>,
    /// The values of the annotations that a migration sets, as they are.
    pub annotations: BTreeMap<String, String>,
    /// The account of which it is the replacement, as a migration noted on it.
    pub replaces: Option<String>,
    /// The values that its annotations had before a migration, as the migration noted them on it.
    pub before: Option<String>,
    /// The rights that it has.
    pub grants: Vec<Grant>,
}

/// A RoleBinding or ClusterRoleBinding of a service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The binding.
    pub binding: Object,
    /// The kind of the role, `Role` or `ClusterRole`.
    pub role_kind: String,
    /// The name of the role.
    pub role: String,
    /// Whether a migration has made the binding.
    pub is_made: bool,
}
