//! Names of objects.

use std::fmt;

use serde::Serialize;
use webhook::inject::printable;

use crate::command::Command;

/// An object of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Object {
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The namespace, empty for an object of the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Object {
    /// The object of this kind and name.
    #[must_use]
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Adds the object to a command of kubectl: `-n prod deployment/shop`.
    #[must_use]
    pub fn named_in(&self, command: Command) -> Command {
        self.named_as(&self.kind.to_ascii_lowercase(), command)
    }

    /// The same with another word for its kind.
    #[must_use]
    pub fn named_as(&self, kind: &str, command: Command) -> Command {
        let command = if self.namespace.is_empty() {
            command
        } else {
            command.text("-n").arg(&self.namespace)
        };
        command.operand(&format!("{kind}/{}", self.name))
    }
}

/// `Deployment prod/shop`, without control characters: the API server does not check the kind and the name of an owner.
impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&printable(&self.kind))?;
        formatter.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(formatter, "{}/", printable(&self.namespace))?;
        }
        formatter.write_str(&printable(&self.name))
    }
}
