//! Mode `environment`: variables that lead Azure SDKs to the proxy instead of the address of IMDS,
//! and the secret that requests must carry.

use std::borrow::Cow;

use contract::app_service::{
    IDENTITY_ENDPOINT, IDENTITY_HEADER, IMDS_HOST, MSI_ENDPOINT, MSI_SECRET, PATH, SITE_NAME,
};
use contract::{container, metadata, variable};

use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::pod::{Container, Pod};
use crate::inject::input::seed::Seed;
use crate::inject::output::manifest::EnvVar;
use crate::inject::policy::config::Mode;
use crate::inject::request::options::PodOptions;

/// The address of the proxy inside the pod.
#[derive(Debug)]
pub(crate) struct Endpoint<'a> {
    /// Whether only the pod can reach the port, because the pod is not on the node's network.
    is_private: bool,
    /// `http://127.0.0.1:PORT`.
    imds_host: String,
    /// The token endpoint below it.
    url: String,
    secret: Cow<'a, str>,
    /// The address of the node's IMDS as text, to find it in containers.
    imds_address: String,
}

impl<'a> Endpoint<'a> {
    /// `None` in a pod without the proxy or in mode `redirect`. The secret is that of the proxy that
    /// an earlier run injected, else a new one made from `seed`.
    pub(crate) fn new(pod: &'a Pod<'a>, options: &PodOptions<'_>, seed: &Seed) -> Option<Self> {
        let proxy = options
            .proxy
            .filter(|proxy| proxy.mode == Mode::Environment)?;
        let proxies = pod.all_containers().map(|(_, existing)| existing);
        let mut proxies = proxies.filter(|it| it.name.as_str() == container::PROXY);
        let earlier = proxies
            .find_map(|proxy| proxy.variable(variable::IDENTITY_HEADER))
            .map(|(_, secret)| secret)
            .filter(|secret| !secret.is_empty());
        let imds_host = format!("http://127.0.0.1:{}", proxy.port);
        Some(Self {
            is_private: !pod.uses_host_network(),
            url: format!("{imds_host}{PATH}"),
            imds_host,
            secret: earlier.map_or_else(|| Cow::Owned(seed.secret()), Cow::Borrowed),
            imds_address: metadata::ADDRESS.to_string(),
        })
    }

    /// Adds the variables that the container lacks. An address and its secret are added together or
    /// not at all, so that the secret never goes to an address of the user's.
    pub(crate) fn add_missing<'v>(
        &'v self,
        existing: &Container<'_>,
        variables: &mut Vec<EnvVar<'v>>,
    ) {
        if existing.name.as_str() == container::PROXY {
            let imds = if self.is_private { "on" } else { "off" };
            let of_proxy = [
                EnvVar::text(variable::IDENTITY_HEADER, &self.secret),
                EnvVar::text(variable::IMDS, imds),
            ];
            variables.extend(of_proxy.into_iter().filter(|it| !existing.sets(it.name)));
            return;
        }
        for pair in self.pairs() {
            if pair.iter().all(|it| !existing.sets(it.name)) {
                variables.extend(pair);
            }
        }
        if let Some(imds) = self.imds().filter(|it| !existing.sets(it.name)) {
            variables.push(imds);
        }
        let uses_proxy = |(_, address): (usize, &str)| address == self.url;
        if existing.variable(MSI_ENDPOINT).is_none_or(uses_proxy) && !existing.sets(SITE_NAME) {
            variables.push(EnvVar::text(SITE_NAME, PRODUCT));
        }
    }

    /// Warns about requests of the container that will bypass the proxy, as far as the pod shows
    /// them.
    pub(crate) fn warn(&self, existing: &Container<'_>, warnings: &mut Warnings) {
        let container = existing.name.as_str();
        if existing.mentions(&self.imds_address) {
            warnings.push(|| {
                format!(
                    "container {container} names {}: in mode {} that is the node's metadata \
                     service, with the node's identity. Use mode {}, or ask {}",
                    self.imds_address,
                    Mode::Environment,
                    Mode::Redirect,
                    self.imds_host
                )
            });
        }
        let [[identity_endpoint, _], [msi_endpoint, _]] = self.pairs();
        let addresses = [
            Some((identity_endpoint.name, &self.url)),
            Some((msi_endpoint.name, &self.url)),
            self.imds().map(|imds| (imds.name, &self.imds_host)),
        ];
        for (name, ours) in addresses.into_iter().flatten() {
            let set = existing.variable(name).map(|(_, value)| value);
            if set.is_some_and(|value| !value.is_empty() && value != ours) {
                warnings.push(|| {
                    format!(
                        "container {container} sets {name} itself: SDKs that read it do not ask {}",
                        container::PROXY
                    )
                });
            }
        }
    }

    /// App Service's addresses, each with its secret.
    fn pairs(&self) -> [[EnvVar<'_>; 2]; 2] {
        [
            [
                EnvVar::text(IDENTITY_ENDPOINT, &self.url),
                EnvVar::text(IDENTITY_HEADER, &self.secret),
            ],
            [
                EnvVar::text(MSI_ENDPOINT, &self.url),
                EnvVar::text(MSI_SECRET, &self.secret),
            ],
        ]
    }

    /// The address that replaces IMDS. Requests to it carry no secret, so it is left out where other
    /// pods can reach the port.
    fn imds(&self) -> Option<EnvVar<'_>> {
        self.is_private
            .then(|| EnvVar::text(IMDS_HOST, &self.imds_host))
    }
}

/// msrestazure only needs the name of a site, not a certain one.
const PRODUCT: &str = "azure-workload-identity";

/// The most variables that a container gets.
pub(crate) const MAX_COUNT: usize = 6;
