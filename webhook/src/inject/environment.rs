//! The variables that Azure SDKs read.

use std::borrow::Cow;

use contract::{container, variable};

use super::account::Account;
use super::annotation::Wishes;
use super::config::Config;
use super::pod::Container;
use super::spec::EnvVar;

/// The identity of the pod, and the variables that say so.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    /// Empty when the service account names none.
    pub(super) client_id: &'a str,
    pub(super) tenant_id: &'a str,
    authority_host: &'a str,
    bindings: &'a [(&'static str, String)],
    of_proxy: &'a [(&'static str, String)],
    identity_map: &'a str,
}

impl<'a> Identity<'a> {
    pub(super) fn new(config: &'a Config, account: &'a Account, wishes: &Wishes<'a>) -> Self {
        Self {
            client_id: &account.client_id,
            tenant_id: if account.tenant_id.is_empty() {
                &config.tenant_id
            } else {
                &account.tenant_id
            },
            authority_host: &config.authority_host,
            of_proxy: &config.sidecar.environment,
            identity_map: wishes.identity_map.unwrap_or_default(),
            bindings: wishes
                .bindings
                .map_or(&[], |bindings| &bindings.environment),
        }
    }

    /// The values that depend on the service account.
    pub(super) fn of_account(&self) -> [(&'static str, &'a str); 2] {
        [
            (variable::CLIENT_ID, self.client_id),
            (variable::TENANT_ID, self.tenant_id),
        ]
    }

    /// The variables that the container lacks. One without a value is left out: it would hide
    /// what `envFrom` brings (azwi#1555). One with a value does hide it: what a ConfigMap or Secret
    /// holds cannot be known without the right to read all of them, nor without asking.
    pub(super) fn variables_for(
        &self,
        existing: &Container<'_>,
        token_file: Cow<'a, str>,
    ) -> Vec<EnvVar<'a>> {
        let [client_id, tenant_id] = self.of_account();
        let usual = [client_id, tenant_id].map(|(name, value)| (name, Cow::Borrowed(value)));
        let file = [(variable::FEDERATED_TOKEN_FILE, token_file)];
        let host = [(variable::AUTHORITY_HOST, Cow::Borrowed(self.authority_host))];
        let further = self.bindings.iter();
        let further = further.map(|(name, value)| (*name, Cow::Borrowed(value.as_str())));
        let of_proxy = self.of_proxy.iter();
        let of_proxy = of_proxy
            .map(|(name, value)| (*name, Cow::Borrowed(value.as_str())))
            .chain([(variable::IDENTITY_MAP, Cow::Borrowed(self.identity_map))])
            .filter(|_| existing.name.as_str() == container::PROXY);

        usual
            .into_iter()
            .chain(file)
            .chain(host)
            .chain(further)
            .chain(of_proxy)
            .filter(|(name, value)| !value.is_empty() && !existing.sets(name))
            .map(|(name, value)| EnvVar { name, value })
            .collect()
    }
}
