//! Mode `environment`: the variables that lead Azure SDKs to the proxy instead of to the address of
//! IMDS, and the secret that goes with them.

use std::borrow::Cow;

use contract::app_service::{
    IDENTITY_ENDPOINT, IDENTITY_HEADER, IMDS_HOST, MSI_ENDPOINT, MSI_SECRET, PATH, SITE_NAME,
};
use contract::{container, metadata, variable};

use super::config::Mode;
use super::pod::{Container, Pod};
use super::spec::EnvVar;
use super::warnings::Warnings;

/// Randomness for one pod: what its secret is made of.
#[derive(Clone)]
pub struct Seed(pub [u8; Self::LENGTH]);

/// Where the pod's containers find the proxy.
#[derive(Debug)]
pub(super) struct Endpoint {
    is_private: bool,
    imds_host: String,
    secret: String,
    url: String,
}

impl Seed {
    /// For pods that get no secret: asking the system costs as much as the rest of a review.
    pub const UNUSED: Self = Self([0; Self::LENGTH]);

    /// How many bytes it has: too many to guess.
    pub const LENGTH: usize = 32;

    /// A port for a pod on the node's network. The pod declares it, so that the scheduler lets no
    /// two pods of a node have the same (a hostPort); below the node's own ephemeral ports and
    /// Kubernetes' node ports.
    pub(super) fn port(&self) -> u16 {
        const FIRST: u16 = 20_000;
        const COUNT: u16 = 10_000;
        let [.., high, low] = self.0;
        FIRST + u16::from_be_bytes([high, low]) % COUNT
    }

    /// The port uses the last two bytes, the secret all others.
    fn secret(&self) -> String {
        let bytes = self.0.iter().take(Self::LENGTH - 2);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Endpoint {
    /// What an earlier run gave the pod's proxy, else what `seed` says.
    pub(super) fn new(pod: &Pod<'_>, port: u16, seed: &Seed) -> Self {
        let given = pod
            .all_containers()
            .filter(|(_, _, existing)| existing.name.as_str() == container::PROXY)
            .find_map(|(_, _, proxy)| proxy.variable(variable::IDENTITY_HEADER))
            .map(|(_, secret)| secret.to_owned())
            .filter(|secret| !secret.is_empty());
        let imds_host = format!("http://127.0.0.1:{port}");
        Self {
            is_private: pod.spec.host_network != Some(true),
            secret: given.unwrap_or_else(|| seed.secret()),
            url: format!("{imds_host}{PATH}"),
            imds_host,
        }
    }

    /// The variables that the container lacks. What belongs together comes together or not at all:
    /// the secret never goes to an address that the user chose.
    pub(super) fn variables_for<'a>(&self, existing: &Container<'_>) -> Vec<EnvVar<'a>> {
        if existing.name.as_str() == container::PROXY {
            return missing(existing, self.of_proxy());
        }
        let mut variables = Vec::new();
        for group in self.groups() {
            if group.iter().all(|(name, _)| !existing.sets(name)) {
                variables.extend(missing(existing, group));
            }
        }
        let asks_us = |(_, address): (usize, &str)| address == self.url;
        if existing.variable(MSI_ENDPOINT).is_none_or(asks_us) {
            variables.extend(missing(existing, vec![(SITE_NAME, PRODUCT)]));
        }
        variables
    }

    /// Tells what in the container goes past the proxy, as far as it can be seen.
    pub(super) fn warn(&self, existing: &Container<'_>, warnings: &mut Warnings) {
        let container = existing.name.as_str();
        if existing.mentions(&metadata::ADDRESS.to_string()) {
            warnings.push(|| {
                format!(
                    "container {container} names {}: in mode {} that is the node's metadata \
                     service, with the node's identity. Use mode {}, or ask {}",
                    metadata::ADDRESS,
                    Mode::Environment,
                    Mode::Redirect,
                    self.imds_host
                )
            });
        }
        let addresses = self.groups();
        let addresses = addresses.iter().filter_map(|group| group.first());
        for (name, ours) in addresses {
            let set = existing.variable(name).map(|(_, value)| value);
            if set.is_some_and(|value| !value.is_empty() && value != *ours) {
                warnings.push(|| {
                    format!(
                        "container {container} sets {name} itself: SDKs that read it do not ask {}",
                        container::PROXY
                    )
                });
            }
        }
    }

    /// Each an address, with the secret that goes there. IMDS needs none, so it is left out where
    /// others than the pod reach the port.
    fn groups(&self) -> Vec<Vec<(&'static str, &str)>> {
        let app_service = [
            vec![
                (IDENTITY_ENDPOINT, self.url.as_str()),
                (IDENTITY_HEADER, self.secret.as_str()),
            ],
            vec![
                (MSI_ENDPOINT, self.url.as_str()),
                (MSI_SECRET, self.secret.as_str()),
            ],
        ];
        let imds = vec![(IMDS_HOST, self.imds_host.as_str())];
        app_service
            .into_iter()
            .chain(self.is_private.then_some(imds))
            .collect()
    }

    fn of_proxy(&self) -> Vec<(&'static str, &str)> {
        let secret = (variable::IDENTITY_HEADER, self.secret.as_str());
        let imds = (variable::IMDS, if self.is_private { "on" } else { "off" });
        vec![secret, imds]
    }
}

fn missing<'a>(existing: &Container<'_>, variables: Vec<(&'static str, &str)>) -> Vec<EnvVar<'a>> {
    let missing = variables
        .into_iter()
        .filter(|(name, _)| !existing.sets(name));
    missing
        .map(|(name, value)| EnvVar {
            name,
            value: Cow::Owned(value.to_owned()),
        })
        .collect()
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Seed")
    }
}

/// What msrestazure takes for the name of its site.
const PRODUCT: &str = "azure-workload-identity";
