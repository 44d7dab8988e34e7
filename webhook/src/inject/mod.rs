//! What to add to a pod: plain values in, a patch or a refusal out. No I/O and no clock.
//!
//! The webhook only adds. It reads the few fields in `pod`, writes nothing of them back, and a
//! second run over its own result adds nothing. The one thing that it replaces is an identity that
//! it injected itself, when another webhook changed the service account in between (azwi#1475).

mod account;
mod annotation;
mod config;
mod denial;
mod endpoint;
mod environment;
mod guid;
mod marker;
mod patch;
mod pod;
mod resources;
mod seccomp;
mod sidecar;
mod skipped;
mod spec;
mod token;
mod warnings;

pub use account::Account;
pub use config::{Bindings, CaSource, Config, Mode, Prepared, Sidecar};
pub use denial::{Denial, printable};
pub use endpoint::Seed;
pub use pod::Pod;
pub(crate) use pod::Text;
pub use resources::{Resources, is_quantity};
pub use seccomp::SeccompProfile;
pub(crate) use token::CA_FILE;

use std::collections::BTreeMap;

use annotation::Wishes;
use contract::{annotation as key, container, label};
use endpoint::Endpoint;
use marker::Marker;
use patch::Patch;
use pod::Container;
use token::TokenVolume;
use warnings::Warnings;

/// What the webhook answers for a pod that it admits.
#[derive(Debug)]
pub struct Injection<'a> {
    /// A JSON Patch (RFC 6902), none when there is nothing to add.
    pub patch: Option<Vec<u8>>,
    /// Sentences for the user, shown by kubectl.
    pub warnings: Vec<String>,
    /// What the pod has now and why, for the audit log.
    pub audit: BTreeMap<&'static str, &'a str>,
}

/// Whether the pod asks for anything: the label `azure.workload.identity/use: "true"`. A static pod
/// cannot: kubelet runs it from a file, and what comes here is its mirror, which may have no service
/// account token.
pub fn is_wanted(pod: &Pod<'_>) -> bool {
    pod.label(label::USE) == Some("true") && pod.annotation(pod::MIRROR).is_none()
}

/// Whether the pod may get a secret, and so needs a seed that nobody can guess.
pub fn may_use_seed(pod: &Pod<'_>, config: &Config) -> bool {
    config.sidecar.mode == Mode::Environment || pod.annotation(key::PROXY_MODE).is_some()
}

/// The operations that give `pod` its identity. `seed` is random and used once, for the secret of
/// mode `environment`.
///
/// # Errors
///
/// A [`Denial`] when the pod or its service account asks for something that cannot work.
pub fn inject<'a>(
    pod: &'a Pod<'a>,
    config: &'a Prepared,
    account: &'a Account,
    seed: &Seed,
) -> Result<Injection<'a>, Denial> {
    let wishes = Wishes::read(pod, config, account, seed)?;
    if let Some(proxy) = wishes.proxy {
        sidecar::check(pod, proxy)?;
    }
    let endpoint = wishes.proxy.filter(|proxy| proxy.mode == Mode::Environment);
    let endpoint = endpoint.map(|proxy| Endpoint::new(pod, proxy.port, seed));

    let mut warnings = Warnings::default();
    annotation::warn(pod, config, account, &wishes, &mut warnings);
    let mut patch = Patch::new();
    let volume = TokenVolume::choose(pod, &wishes, &mut warnings);
    let identity = environment::Identity::new(config, account, &wishes);
    let marker = Marker::of(pod);

    // Indexes are those of the pod as it came: insertions at the front come last.
    let mut kept = Vec::new();
    let mut without_client_id = false;
    for (list, index, existing) in pod.all_containers() {
        if is_left_alone(existing, &wishes) {
            continue;
        }
        let place = format!("/spec/{list}/{index}");
        let (mounts, token_file) = volume.mounts_for(existing, &wishes);
        patch.extend_list(
            &place,
            "volumeMounts",
            existing.volume_mounts.as_ref().map(Vec::len),
            &mounts,
        );
        let mut variables = identity.variables_for(existing, token_file);
        if let Some(endpoint) = &endpoint {
            variables.extend(endpoint.variables_for(existing));
            endpoint.warn(existing, &mut warnings);
        }
        let replaced = marker.replace_outdated(existing, &place, &identity, &mut patch);
        kept.extend(marker::kept(existing, &identity));
        without_client_id |= identity.client_id.is_empty()
            && (replaced || !existing.may_set(contract::variable::CLIENT_ID));
        patch.extend_list(
            &place,
            "env",
            existing.env.as_ref().map(Vec::len),
            &variables,
        );
        patch.check_length()?;
    }
    if without_client_id {
        warnings.push(|| {
            format!(
                "service account {} has no annotation {}: {} is not set",
                pod.service_account(),
                key::CLIENT_ID,
                contract::variable::CLIENT_ID
            )
        });
    }

    volume.add(pod, &mut patch);
    let mut annotations = marker.update(&identity, kept);
    if let Some(proxy) = wishes.proxy {
        sidecar::insert(
            pod,
            config,
            &wishes,
            &identity,
            &volume,
            proxy,
            endpoint.as_ref(),
            &mut patch,
            &mut warnings,
        );
        annotations.extend(sidecar::default_container(pod, config));
    }
    patch.annotate(pod, &annotations);

    let injected = match wishes.proxy.map(|proxy| proxy.mode) {
        Some(Mode::Redirect) => "token,proxy",
        Some(Mode::Environment) => "token,proxy-environment",
        None => "token",
    };
    let audit = [
        ("client-id", identity.client_id),
        ("injected", injected),
        ("service-account", pod.service_account()),
    ];
    Ok(Injection {
        patch: patch.into_json(),
        warnings: warnings.into_sentences(),
        audit: audit.into(),
    })
}

fn is_left_alone(existing: &Container<'_>, wishes: &Wishes<'_>) -> bool {
    match existing.name.as_str() {
        // It needs neither token nor identity.
        container::PROXY_INIT => true,
        container::PROXY => false,
        name => wishes.skipped.contains(name),
    }
}
