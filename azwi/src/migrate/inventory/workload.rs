//! Workloads and pods of a migration.

use serde_json::Value;

use super::template::PodTemplate;
use crate::facts::object::Object;
use crate::facts::template::Template;

/// Something with a pod template.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Its name.
    pub object: Object,
    /// Where it is in the API.
    pub place: Place,
    /// How its template can be changed.
    pub form: Form,
    /// Its pods' template.
    pub template: PodTemplate,
    /// The whole object, of a form that can be changed only by recreating it.
    pub manifest: Option<Value>,
    /// `spec.replicas`.
    pub replicas: Option<u64>,
    /// Whether a change of the template makes new pods.
    pub rolls: bool,
    /// The way back that [`crate::migrate`] left on the object when it changed it.
    pub before: Option<String>,
}

/// Where an object is in the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `apiVersion`, such as `apps/v1`.
    pub version: String,
    /// The name in paths, such as `deployments`.
    pub plural: String,
}

/// How a template can be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// At `spec.template`.
    #[default]
    Template,
    /// At `spec.jobTemplate.spec.template`.
    CronJob,
    /// Not at all: the Job has to be recreated.
    Job,
    /// Not at all: the pod has to be recreated.
    Pod,
    /// At `spec.template` of a custom kind.
    Custom,
    /// Its operator makes the template from fields that only the operator knows.
    Operator,
}

impl Form {
    /// Where the template is in the object.
    #[must_use]
    pub fn path(self) -> &'static [&'static str] {
        match self {
            Self::Template | Self::Job | Self::Custom | Self::Operator => &["spec", "template"],
            Self::CronJob => &["spec", "jobTemplate", "spec", "template"],
            Self::Pod => &[],
        }
    }
}

/// A pod that has not ended.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Its name.
    pub object: Object,
    /// The workload at the top of its owners, itself without one.
    pub owner: Object,
    /// The value of its label `aadpodidbinding`.
    pub selector: Option<String>,
    /// What the webhook and its checks look at.
    pub template: Template,
    /// Whether it is ready.
    pub is_ready: bool,
}
