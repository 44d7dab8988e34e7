//! Workloads and pods.

use super::object::Object;
use super::template::Template;

/// An object with a pod template.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Its name.
    pub object: Object,
    /// Whether the object itself has the label, which counts on the template alone.
    pub is_labelled: bool,
    /// The object's own annotation of the client id, which belongs on the service account.
    pub client_id: Option<String>,
    /// Its pods' template.
    pub template: Template,
    /// Why its pods cannot be created, as its status says.
    pub failure: Option<String>,
}

/// A pod that has not ended.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Its name.
    pub object: Object,
    /// The workload at the top of its owners, `None` for a bare pod.
    pub owner: Option<Object>,
    /// What it is made of.
    pub template: Template,
}
