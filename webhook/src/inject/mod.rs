//! Decides what to add to a pod: plain values in, a JSON Patch or a [`Denial`] out. No I/O, no clock.
//!
//! The webhook only adds. It reads only the fields that a decision needs, writes none of them back, and a
//! second run over its own result adds nothing. The only value that it replaces is an identity that it
//! injected itself, when another webhook has changed the service account since (azwi#1475). The only
//! containers that it moves are its own init containers, back to the front.
//!
//! A review passes through these folders, each of which knows only those below it:
//!
//! ```text
//! inject               is_wanted → options → decision → patch
//! ├─ decision/         additions to each container, the sidecar's place     → Additions
//! ├─ request/          the pod's options, and warnings about mistakes       → PodOptions
//! ├─ output/           Additions as a value, and as a JSON Patch
//! ├─ input/            the pod, the service account, the random seed
//! ├─ policy/           the operator's settings
//! └─ feedback/         denials and warnings, the sentences for the user
//! ```

mod decision;
mod feedback;
mod input;
mod output;
mod policy;
mod request;

pub use decision::recognition::is_known_image;
pub use decision::templates::Prepared;
pub(crate) use decision::token_volume::CA_FILE;
pub use feedback::denial::{Denial, printable};
pub use input::account::Account;
pub use input::marker::injected_client_id;
pub use input::pod::Pod;
pub use input::seed::Seed;
pub(crate) use input::text::Text;
pub use policy::config::{Bindings, CaSource, Config, Mode, PodSecurity, Sidecar};
pub use policy::label_selector::{LabelSelector, LabelSelectorError};
pub use policy::resources::{Resources, is_quantity};
pub use policy::seccomp::SeccompProfile;

use std::collections::BTreeMap;

use contract::{annotation, label};

use decision::containers::ContainerRules;
use decision::identity::Identity;
use decision::recognition::Present;
use feedback::warnings::Warnings;
use input::entries::MIRROR;
use output::patch;
use request::mistakes;
use request::options::PodOptions;

/// The answer for a pod that is admitted.
#[derive(Debug)]
pub struct Injection<'a> {
    /// A JSON Patch (RFC 6902), none when there is nothing to add.
    pub patch: Option<Vec<u8>>,
    /// Sentences for the user, shown by kubectl.
    pub warnings: Vec<String>,
    /// Annotations for the audit log: what the pod has now and why.
    pub audit: BTreeMap<&'static str, &'a str>,
}

/// Whether the pod asks for anything: it has the label `azure.workload.identity/use: "true"`. A
/// static pod never does. The kubelet runs it from a file; the API server only sees its mirror, which
/// must not get a service account token.
#[must_use]
pub fn is_wanted(pod: &Pod<'_>) -> bool {
    pod.label(label::USE) == Some("true") && pod.annotation(MIRROR).is_none()
}

/// Whether the pod may get the proxy, and with it a secret that needs a random seed.
#[must_use]
pub fn may_use_seed(pod: &Pod<'_>) -> bool {
    pod.annotation(annotation::INJECT_PROXY_SIDECAR).is_some()
}

/// The operations that give `pod` its identity. `seed` is random and used once, for the secret of
/// mode `environment` or the key of mode `redirect`.
///
/// # Errors
///
/// A [`Denial`] when the pod or its service account asks for something that cannot work.
pub fn inject<'a>(
    pod: &'a Pod<'a>,
    config: &'a Prepared,
    account: &'a Account,
    seed: &Seed,
    security: PodSecurity,
) -> Result<Injection<'a>, Denial> {
    let mut warnings = Warnings::default();
    let options = PodOptions::read(pod, config, account, seed, security)?;
    mistakes::warn(pod, config, account, &options, &mut warnings);
    let rules = ContainerRules::new(pod, config, account, &options, seed);
    let present = Present::find(pod, &config.sidecar);
    let additions = decision::decide(pod, config, &options, &present, &rules, &mut warnings)?;
    Ok(Injection {
        patch: patch::write(pod, &additions)?,
        warnings: warnings.into_sentences(),
        audit: audit(pod, &options, &present, &rules.identity),
    })
}

fn audit<'a>(
    pod: &'a Pod<'a>,
    options: &PodOptions<'_>,
    present: &Present<'_>,
    identity: &Identity<'a>,
) -> BTreeMap<&'static str, &'a str> {
    let mode = options.proxy.map(|proxy| proxy.mode);
    let unverified = mode.and_then(|mode| present.unverified(mode));
    let injected = match mode.filter(|_| unverified.is_none()) {
        Some(Mode::Redirect) => "token,proxy",
        Some(Mode::Environment) => "token,proxy-environment",
        None => "token",
    };
    let mut annotations = BTreeMap::from([
        ("client-id", identity.client_id),
        ("injected", injected),
        ("service-account", pod.service_account()),
    ]);
    annotations.extend(unverified.map(|names| ("unverified", names)));
    annotations
}
