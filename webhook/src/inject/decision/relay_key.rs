//! The key by which `azwi-proxy-init` recognises connections of `azwi-proxy` to the real IMDS. Without one
//! it exempts every process of the proxy's user from the redirect.

use std::borrow::Cow;

use contract::{container, variable};

use crate::inject::input::pod::Pod;
use crate::inject::input::seed::Seed;
use crate::inject::output::manifest::EnvVar;
use crate::inject::policy::config::{Config, Mode};
use crate::inject::request::options::PodOptions;

/// The key of one pod.
#[derive(Debug)]
pub(crate) struct PodKey<'a>(Option<Cow<'a, str>>);

impl<'a> PodKey<'a> {
    /// Both containers have the same key or none: where the pod has one of them already, the other gets
    /// its key. Otherwise there is a new one made from `seed`, unless the proxy relays nothing.
    pub(crate) fn new(
        pod: &'a Pod<'a>,
        config: &Config,
        options: &PodOptions<'_>,
        seed: &Seed,
    ) -> Self {
        let mode = options.proxy.map(|proxy| proxy.mode);
        let mut policies = config.sidecar.environment.iter();
        let relays_nothing =
            policies.any(|(name, value)| *name == variable::RELAY && value.trim() == "deny");
        if mode != Some(Mode::Redirect) || relays_nothing {
            return Self(None);
        }
        let mut containers = pod.all_containers().map(|(_, existing)| existing);
        let names = [container::PROXY_INIT, container::PROXY];
        Self(
            match containers.find(|it| names.contains(&it.name.as_str())) {
                Some(earlier) => earlier
                    .variable(variable::RELAY_KEY)
                    .map(|(_, key)| Cow::Borrowed(key))
                    .filter(|key| !key.is_empty()),
                None => Some(Cow::Owned(seed.relay_key().to_string())),
            },
        )
    }

    /// The variable of both containers, if there is a key.
    pub(crate) fn variable(&self) -> Option<EnvVar<'_>> {
        let key = self.0.as_deref()?;
        Some(EnvVar::text(variable::RELAY_KEY, key))
    }
}
