//! The pod's identity, and the variables by which Azure SDKs learn it.

use contract::value::Verify;
use contract::{container, variable};

use super::token_volume::Mounted;
use crate::inject::input::account::Account;
use crate::inject::input::pod::Container;
use crate::inject::output::manifest::{EnvVar, Value};
use crate::inject::policy::config::Config;
use crate::inject::request::options::PodOptions;

/// The pod's identity.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// Empty when the service account has no such annotation.
    pub(crate) client_id: &'a str,
    pub(crate) tenant_id: &'a str,
    authority_host: &'a str,
    bindings: &'a [(&'static str, String)],
    /// The operator's variables, only for the proxy.
    proxy_environment: &'a [(&'static str, String)],
    /// The pod's annotations for the proxy, each empty when the pod has none.
    proxy_options: [(&'static str, &'a str); 3],
}

impl<'a> Identity<'a> {
    pub(crate) fn new(config: &'a Config, account: &'a Account, options: &PodOptions<'a>) -> Self {
        let of_account = Some(&*account.tenant_id).filter(|tenant| !tenant.is_empty());
        Self {
            client_id: &account.client_id,
            tenant_id: of_account.unwrap_or(&config.tenant_id),
            authority_host: &config.authority_host,
            bindings: options
                .bindings
                .map_or(&[], |bindings| &bindings.environment),
            proxy_environment: &config.sidecar.environment,
            proxy_options: [
                (
                    variable::IDENTITY_MAP,
                    options.identity_map.unwrap_or_default(),
                ),
                (variable::PREFETCH, options.prefetch.unwrap_or_default()),
                (variable::VERIFY, options.verify.map_or("", Verify::as_str)),
            ],
        }
    }

    /// The variables that depend on the service account.
    pub(crate) fn of_account(&self) -> [(&'static str, &'a str); 2] {
        [
            (variable::CLIENT_ID, self.client_id),
            (variable::TENANT_ID, self.tenant_id),
        ]
    }

    /// Adds the variables that the container lacks. An empty one is left out: it would hide a value
    /// from `envFrom` (azwi#1555). Any other one does hide it: the webhook cannot know the contents
    /// of a ConfigMap or Secret without the right to read all of them and a call for each pod.
    pub(crate) fn add_missing<'v>(
        &self,
        existing: &Container<'_>,
        mounted: &Mounted<'v>,
        variables: &mut Vec<EnvVar<'v>>,
    ) where
        'a: 'v,
    {
        let mut add = |name: &'static str, value: Value<'v>| {
            if !value.is_empty() && !existing.sets(name) {
                variables.push(EnvVar { name, value });
            }
        };
        for (name, value) in self.of_account() {
            add(name, Value::Text(value));
        }
        add(variable::FEDERATED_TOKEN_FILE, mounted.token);
        add(variable::AUTHORITY_HOST, Value::Text(self.authority_host));
        for (name, value) in self.bindings {
            match *name {
                variable::KUBERNETES_CA_FILE => add(name, mounted.authority),
                _ => add(name, Value::Text(value)),
            }
        }
        if existing.name.as_str() == container::PROXY {
            for (name, value) in self.proxy_environment {
                add(name, Value::Text(value));
            }
            for (name, value) in self.proxy_options {
                add(name, Value::Text(value));
            }
        }
    }
}

/// Variables of a container without identity bindings.
pub(crate) const USUAL_COUNT: usize = 4;
