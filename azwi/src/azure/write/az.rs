//! Commands of `az`.

use std::fmt;

use serde_json::json;

use crate::azure::ResourceId;
use crate::azure::plan::{Unwanted, Wanted};
use crate::command::{Command, Script};

/// Commands that create federated credentials, a line each.
#[must_use]
pub fn az(wanted: &[Wanted]) -> Script {
    let mut script = Script::default();
    for it in wanted {
        script.push(&Command::from(&creation(it)));
    }
    script
}

/// A call of `az`. Its [`Display`](fmt::Display) is a line for a POSIX shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The arguments, without the program.
    pub arguments: Vec<String>,
}

/// The call that creates a federated credential. One of the same name is overwritten, unless it belongs to an
/// application.
#[must_use]
pub fn creation(wanted: &Wanted) -> Call {
    let identity = &wanted.identity;
    let path = identity.resource_id.as_deref().and_then(ResourceId::parse);
    let Some(path) = path else {
        return of_application("create", wanted);
    };
    Call::new("identity federated-credential create")
        .of(path)
        .option("name", &wanted.name)
        .option("issuer", &wanted.issuer)
        .option("subject", &wanted.subject)
        .option("audiences", &wanted.audience)
}

/// The call that overwrites a federated credential of the same name.
#[must_use]
pub fn update(wanted: &Wanted) -> Call {
    if wanted.identity.resource_id.is_some() {
        return creation(wanted);
    }
    of_application("update", wanted).option("federated-credential-id", &wanted.name)
}

fn of_application(verb: &str, wanted: &Wanted) -> Call {
    let parameters = json!({
        "name": wanted.name,
        "issuer": wanted.issuer,
        "subject": wanted.subject,
        "audiences": [wanted.audience],
    });
    Call::new(&format!("ad app federated-credential {verb}"))
        .option("id", &wanted.identity.client_id)
        .option("parameters", &parameters.to_string())
}

/// The call that removes a federated credential.
#[must_use]
pub fn removal(unwanted: &Unwanted) -> Call {
    let identity = &unwanted.identity;
    match identity.resource_id.as_deref().and_then(ResourceId::parse) {
        Some(path) => Call::new("identity federated-credential delete")
            .of(path)
            .option("name", &unwanted.name)
            .flag("yes"),
        None => Call::new("ad app federated-credential delete")
            .option("id", &identity.client_id)
            .option("federated-credential-id", &unwanted.name),
    }
}

impl Call {
    fn new(command: &str) -> Self {
        Self {
            arguments: command.split(' ').map(str::to_owned).collect(),
        }
    }

    /// The deployment of a Bicep template to a resource group.
    pub(super) fn deployment(subscription: &str, group: &str) -> Self {
        Self::new("deployment group create")
            .option("subscription", subscription)
            .option("resource-group", group)
            .option("template-file", "federated-credentials.bicep")
    }

    /// Option and value are one argument. As an argument of its own, a value that begins with a hyphen would be
    /// an option; and `az` reads a file for what follows `=@` in any argument.
    fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--{name}={value}"));
        self
    }

    fn flag(mut self, name: &str) -> Self {
        self.arguments.push(format!("--{name}"));
        self
    }

    fn of(self, path: ResourceId<'_>) -> Self {
        self.option("subscription", path.subscription)
            .option("resource-group", path.group)
            .option("identity-name", path.name)
    }
}

impl From<&Call> for Command {
    fn from(call: &Call) -> Self {
        Self::new("az").args(&call.arguments)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Command::from(self).fmt(formatter)
    }
}
