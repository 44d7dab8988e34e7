//! Decides the additions to one pod: plain values in, [`Additions`] out. Nothing is written here.

pub(crate) mod containers;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod identity;
pub(crate) mod marker;
pub(crate) mod place;
pub(crate) mod recognition;
pub(crate) mod relay_key;
pub(crate) mod sidecar;
pub(crate) mod templates;
pub(crate) mod token_volume;

use std::borrow::Cow;

use contract::{annotation, variable};

use crate::inject::feedback::denial::Denial;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::pod::Pod;
use crate::inject::output::additions::Additions;
use crate::inject::request::options::PodOptions;

use containers::ContainerRules;
use recognition::Present;
use templates::{Form, Prepared};

/// The additions to the pod.
///
/// # Errors
///
/// A [`Denial`] for a pod in which the proxy cannot work, or that would be too large to be stored.
pub(crate) fn decide<'a>(
    pod: &'a Pod<'_>,
    config: &'a Prepared,
    options: &PodOptions<'_>,
    present: &Present<'_>,
    rules: &'a ContainerRules<'_>,
    warnings: &mut Warnings,
) -> Result<Additions<'a>, Denial> {
    if let Some(proxy) = options.proxy {
        sidecar::check(pod, proxy, present)?;
    }
    let existing = rules.existing(pod, &options.skipped, warnings)?;
    if existing.lacks_client_id {
        warnings.push(|| {
            format!(
                "service account {} has no annotation {}: {} is not set",
                pod.service_account(),
                annotation::CLIENT_ID,
                variable::CLIENT_ID
            )
        });
    }
    let marker = rules.earlier.annotation(
        &rules.identity,
        existing.same_values,
        options.mode_of_namespace(),
    );
    let mut additions = Additions {
        containers: existing.additions,
        volumes: rules.volume.new_volumes().collect(),
        moves: Vec::new(),
        new_containers: Vec::new(),
        annotations: marker
            .map(|(key, text)| (key, Cow::Owned(text)))
            .into_iter()
            .collect(),
    };
    if let Some(proxy) = options.proxy {
        let form = Form {
            port: proxy.port,
            metrics_port: sidecar::metrics_port(pod, config, proxy.port, warnings),
            has_own_user: sidecar::has_own_user(pod, proxy.mode),
            resources: &options.resources,
        };
        additions.moves = sidecar::moves(present);
        additions.new_containers =
            sidecar::new_containers(present, config, proxy.mode, &form, rules);
        present.warn(proxy.mode, warnings);
        let default = sidecar::default_container(pod, config);
        additions.annotations.extend(default);
    }
    Ok(additions)
}

#[cfg(test)]
mod tests;
