//! The creation of a labelled pod as a dry run: what the API server, its webhooks and its policies do with it.

use super::object::Object;
use super::template::Template;

/// A pod that was created as a dry run.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The workload whose template was used.
    pub object: Object,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of a dry run.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The pod as it would be stored.
    Admitted(Template),
    /// The API server's reason for its refusal.
    Refused(String),
}
