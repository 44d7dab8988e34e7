//! Warnings about a container's own variables that make SDKs pass over the workload identity.

use contract::{annotation, sdk, variable};

use super::identity::Identity;
use crate::inject::feedback::denial::Shown;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::pod::Container;

/// Warns about such variables. `has_proxy` says whether the pod gets the proxy, and `replaces_client_id`
/// whether the container's client id is one that the webhook injected itself.
pub(crate) fn warn(
    existing: &Container<'_>,
    identity: &Identity<'_>,
    has_proxy: bool,
    replaces_client_id: bool,
    warnings: &mut Warnings,
) {
    if existing.is_injected() {
        return;
    }
    let container = existing.name.as_str();
    let chosen = literal(existing, sdk::TOKEN_CREDENTIALS);
    let choice = chosen.map_or(Choice::All, Choice::of);
    if choice == Choice::Others || (choice == Choice::ManagedIdentity && !has_proxy) {
        let value = Shown::new(chosen.unwrap_or_default());
        warnings.push(|| {
            format!(
                "container {container} sets {name} to {value}: DefaultAzureCredential does not try the \
                 workload identity. Remove it, or set it to {WORKLOAD_IDENTITY}",
                name = sdk::TOKEN_CREDENTIALS,
            )
        });
    }
    if choice == Choice::All
        && let Some(name) = other_credential(existing)
    {
        warnings.push(|| {
            format!(
                "container {container} sets {name}: DefaultAzureCredential tries it before the workload \
                 identity. Remove it, or name the container in annotation {}",
                annotation::SKIP_CONTAINERS
            )
        });
    }
    let ours = identity.client_id;
    let own = literal(existing, variable::CLIENT_ID).filter(|_| !replaces_client_id);
    let own = own.filter(|own| !ours.is_empty() && !own.trim().eq_ignore_ascii_case(ours));
    if let Some(own) = own {
        warnings.push(|| {
            format!(
                "container {container} sets {} to {}: it gets tokens of that identity, not of the service \
                 account's",
                variable::CLIENT_ID,
                Shown::new(own)
            )
        });
    }
}

/// What `DefaultAzureCredential` tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Variables with a secret first, then the workload identity, then a managed identity.
    All,
    WorkloadIdentity,
    ManagedIdentity,
    Others,
}

impl Choice {
    /// Reads `AZURE_TOKEN_CREDENTIALS`, in which letters' case does not matter.
    fn of(value: &str) -> Self {
        let value = value.trim();
        let is = |name: &str| value.eq_ignore_ascii_case(name);
        if is("prod") {
            Self::All
        } else if is(WORKLOAD_IDENTITY) {
            Self::WorkloadIdentity
        } else if is("ManagedIdentityCredential") {
            Self::ManagedIdentity
        } else {
            Self::Others
        }
    }
}

/// A variable that makes `EnvironmentCredential` complete, together with the injected ones.
fn other_credential(existing: &Container<'_>) -> Option<&'static str> {
    let mut alone = [sdk::CLIENT_SECRET, sdk::CLIENT_CERTIFICATE_PATH].into_iter();
    let has_user = || existing.has_value(sdk::USERNAME) && existing.has_value(sdk::PASSWORD);
    alone
        .find(|name| existing.has_value(name))
        .or_else(|| has_user().then_some(sdk::PASSWORD))
}

/// The variable's value, if the pod shows it.
fn literal<'c>(existing: &'c Container<'_>, name: &str) -> Option<&'c str> {
    let (_, value) = existing.variable(name)?;
    Some(value).filter(|value| !value.trim().is_empty() && !value.contains("$("))
}

const WORKLOAD_IDENTITY: &str = "WorkloadIdentityCredential";
