//! The additions to each container: mounts, variables and, after an earlier run, replaced values.

use contract::value::LingerSeconds;
use contract::{container, variable};

use super::credentials;
use super::endpoint::{self, Endpoint};
use super::identity::{self, Identity};
use super::marker::{EarlierRun, same_values};
use super::relay_key::PodKey;
use super::token_volume::TokenVolume;
use crate::inject::feedback::denial::Denial;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::account::Account;
use crate::inject::input::pod::{Container, Pod};
use crate::inject::input::seed::Seed;
use crate::inject::output::additions::ContainerAdditions;
use crate::inject::output::manifest::{EnvVar, VolumeMount};
use crate::inject::output::patch;
use crate::inject::policy::config::Config;
use crate::inject::request::options::PodOptions;
use crate::inject::request::skipped::Skipped;

/// The values that all containers of one pod get, the injected proxy included.
#[derive(Debug)]
pub(crate) struct ContainerRules<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) volume: TokenVolume<'a>,
    /// In mode `environment`.
    pub(crate) endpoint: Option<Endpoint<'a>>,
    pub(crate) earlier: EarlierRun<'a>,
    pub(crate) relay_key: PodKey<'a>,
    /// How long a new proxy lingers, if the pod or the operator says so.
    pub(crate) linger_seconds: Option<LingerSeconds>,
    /// Whether containers of the pod may end a new plain proxy.
    pub(crate) quit: bool,
    has_proxy: bool,
    /// A proxy that has neither mounts nor variables yet.
    new_proxy: Container<'static>,
}

/// The decisions about the containers that the pod came with.
#[derive(Debug, PartialEq)]
pub(crate) struct ExistingContainers<'a> {
    pub(crate) additions: Vec<ContainerAdditions<'a>>,
    /// Variables of the user's with the injected value, see [`same_values`].
    pub(crate) same_values: Vec<String>,
    /// Whether a container ends up without a client id from anywhere.
    pub(crate) lacks_client_id: bool,
}

impl<'a> ContainerRules<'a> {
    /// `seed` makes the secret of mode `environment`, and the key of mode `redirect`.
    pub(crate) fn new(
        pod: &'a Pod<'a>,
        config: &'a Config,
        account: &'a Account,
        options: &PodOptions<'a>,
        seed: &Seed,
    ) -> Self {
        Self {
            identity: Identity::new(config, account, options),
            volume: TokenVolume::choose(pod, options),
            endpoint: Endpoint::new(pod, options, seed),
            earlier: EarlierRun::read(pod),
            relay_key: PodKey::new(pod, config, options, seed),
            linger_seconds: options.linger_seconds,
            quit: options.quit,
            has_proxy: options.proxy.is_some(),
            new_proxy: Container::named(container::PROXY),
        }
    }

    /// Decides about the containers that the pod came with.
    ///
    /// # Errors
    ///
    /// [`Denial::TooLarge`] as soon as the patch is certain to be: a review may have thousands of
    /// containers, and deciding about all of them would take memory.
    pub(crate) fn existing<'r>(
        &'r self,
        pod: &'r Pod<'_>,
        skipped: &Skipped<'_>,
        warnings: &mut Warnings,
    ) -> Result<ExistingContainers<'r>, Denial> {
        let mut decided = ExistingContainers {
            additions: Vec::with_capacity(pod.containers().len().min(USUAL_COUNT)),
            same_values: Vec::new(),
            lacks_client_id: false,
        };
        let mut least_length = 0;
        for (at, existing) in pod.all_containers() {
            if is_left_alone(existing, skipped) {
                continue;
            }
            let (mounts, variables) = self.missing(existing, warnings);
            let additions = ContainerAdditions {
                at,
                mounts,
                variables,
                replacements: self.earlier.outdated(existing, &self.identity),
            };
            self.warn(existing, &additions, warnings);
            decided
                .same_values
                .extend(same_values(existing, &self.identity));
            decided.lacks_client_id |= self.lacks_client_id(existing, &additions);
            least_length += additions.least_length();
            if least_length > patch::MAX_LENGTH {
                return Err(Denial::TooLarge);
            }
            if !additions.is_empty() {
                decided.additions.push(additions);
            }
        }
        Ok(decided)
    }

    /// Warns about variables with which the container will not use the identity, or not the proxy.
    fn warn(
        &self,
        existing: &Container<'_>,
        additions: &ContainerAdditions<'_>,
        warnings: &mut Warnings,
    ) {
        let mut replacements = additions.replacements.iter();
        let replaces_client_id = replacements.any(|it| it.variable == variable::CLIENT_ID);
        let Self {
            identity,
            has_proxy,
            ..
        } = self;
        credentials::warn(existing, identity, *has_proxy, replaces_client_id, warnings);
        if let Some(endpoint) = &self.endpoint {
            endpoint.warn(existing, warnings);
        }
    }

    /// The mounts and variables of a new proxy.
    pub(crate) fn new_proxy(&self) -> (Vec<VolumeMount<'_>>, Vec<EnvVar<'_>>) {
        // It has nothing that could be in the way.
        self.missing(&self.new_proxy, &mut Warnings::default())
    }

    /// The mounts and variables that the container lacks.
    fn missing<'r>(
        &'r self,
        existing: &'r Container<'_>,
        warnings: &mut Warnings,
    ) -> (Vec<VolumeMount<'r>>, Vec<EnvVar<'r>>) {
        let mounted = self.volume.mounts_for(existing, warnings);
        let usual_count = match &self.endpoint {
            Some(_) => identity::USUAL_COUNT + endpoint::MAX_COUNT,
            None => identity::USUAL_COUNT,
        };
        let mut variables = Vec::with_capacity(usual_count);
        self.identity
            .add_missing(existing, &mounted, &mut variables);
        if let Some(endpoint) = &self.endpoint {
            endpoint.add_missing(existing, &mut variables);
        }
        (mounted.mounts, variables)
    }

    /// Whether the account names no client id, and the container has none of its own or loses the
    /// one that was injected before.
    fn lacks_client_id(
        &self,
        existing: &Container<'_>,
        additions: &ContainerAdditions<'_>,
    ) -> bool {
        let mut replacements = additions.replacements.iter();
        self.identity.client_id.is_empty()
            && (replacements.any(|it| it.variable == variable::CLIENT_ID)
                || !existing.may_set(variable::CLIENT_ID))
    }
}

fn is_left_alone(existing: &Container<'_>, skipped: &Skipped<'_>) -> bool {
    match existing.name.as_str() {
        // proxy-init needs neither token nor identity.
        container::PROXY_INIT => true,
        container::PROXY => false,
        name => skipped.contains(name),
    }
}

/// Pods with more containers are rare.
const USUAL_COUNT: usize = 8;
