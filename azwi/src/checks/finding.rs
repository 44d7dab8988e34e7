//! A finding.

use webhook::inject::printable;

use super::code::{Code, Severity};
use crate::command::Command;
use crate::facts::manifest::Place;
use crate::facts::object::Object;

/// A cause that was found, with the object to change and the command that fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub code: Code,
    /// The cause, for people. It has no control characters.
    pub cause: String,
    /// The object that has it.
    pub object: Object,
    /// The command that fixes it, `None` where nothing needs to be done.
    pub fix: Option<Command>,
    /// The object's line in a file, for manifests.
    pub place: Option<Place>,
}

impl Finding {
    pub(crate) fn new(code: Code, object: &Object, cause: &str, fix: Option<Command>) -> Self {
        Self {
            code,
            cause: printable(cause),
            object: object.clone(),
            fix,
            place: None,
        }
    }
}

/// Whether pods do not get their identity because of it.
pub(super) fn is_error(finding: &Finding) -> bool {
    finding.code.severity() == Severity::Error
}
