//! What a pod's annotations ask for, and what in them looks mistaken.

use contract::value::{IdentityMap, ServicePort};
use contract::{annotation as key, label, metadata, token};

use super::account::Account;
use super::config::{Bindings, Config, Mode};
use super::denial::{Denial, Shown};
use super::endpoint::Seed;
use super::guid;
use super::marker;
use super::pod::Pod;
use super::resources::Overrides;
use super::sidecar;
use super::skipped::Skipped;
use super::warnings::Warnings;

/// The pod's requests, with the service account's and the cluster's behind them.
#[derive(Debug)]
pub(super) struct Wishes<'a> {
    /// The proxy, when the pod wants it.
    pub(super) proxy: Option<Proxy>,
    pub(super) expiration_seconds: u32,
    pub(super) audience: &'a str,
    pub(super) bindings: Option<&'a Bindings>,
    pub(super) identity_map: Option<&'a str>,
    pub(super) resources: Overrides<'a>,
    pub(super) skipped: Skipped<'a>,
}

/// How the pod wants the proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proxy {
    pub(super) mode: Mode,
    pub(super) port: u16,
}

impl<'a> Wishes<'a> {
    pub(super) fn read(
        pod: &'a Pod<'a>,
        config: &'a Config,
        account: &Account,
        seed: &Seed,
    ) -> Result<Self, Denial> {
        let bindings = config.bindings.as_ref().filter(|bindings| {
            let asked = pod.annotation(&bindings.annotation).unwrap_or_default();
            asked.trim().eq_ignore_ascii_case("true")
        });
        Ok(Self {
            proxy: proxy(pod, config, seed)?,
            expiration_seconds: expiration(pod, account)?,
            audience: bindings.map_or(&config.audience, |bindings| &bindings.audience),
            bindings,
            identity_map: identity_map(pod)?,
            resources: Overrides::read(pod)?,
            skipped: Skipped::read(pod),
        })
    }
}

/// Tells the user of what has no effect, and of values that cannot be right.
pub(super) fn warn(
    pod: &Pod<'_>,
    config: &Config,
    account: &Account,
    wishes: &Wishes<'_>,
    warnings: &mut Warnings,
) {
    let owner = pod.service_account();
    if !account.client_id.is_empty() && !guid::is_guid(&account.client_id) {
        warnings.push(|| {
            format!(
                "service account {owner} has annotation {} with value {}: that is not a client id \
                 (a GUID)",
                key::CLIENT_ID,
                Shown::new(&account.client_id)
            )
        });
    }
    if !account.tenant_id.is_empty() && !guid::is_tenant(&account.tenant_id) {
        warnings.push(|| {
            format!(
                "service account {owner} has annotation {} with value {}: that is not a tenant (a \
                 GUID or a domain)",
                key::TENANT_ID,
                Shown::new(&account.tenant_id)
            )
        });
    }
    for name in &account.unknown {
        warnings.push(|| {
            let hint = hint(name, ACCOUNT_KEYS, POD_KEYS, "it belongs on the pod");
            format!("service account {owner}: unknown annotation {name}{hint}")
        });
    }
    for name in pod.metadata.annotations.iter().flat_map(|it| it.own_keys()) {
        let known = POD_KEYS.contains(&name)
            || config
                .bindings
                .as_ref()
                .is_some_and(|bindings| bindings.annotation == name);
        if known {
            continue;
        }
        warnings.push(|| format!("pod: unknown annotation {name}{}", hint_for_pod(name)));
    }
    for name in pod.metadata.labels.iter().flat_map(|it| it.own_keys()) {
        if name != label::USE {
            warnings.push(|| format!("pod: unknown label {name}"));
        }
    }
    if wishes.proxy.is_none() && pod.annotation(key::PROXY_MODE).is_some() {
        warnings.push(|| {
            format!(
                "pod: annotation {} has no effect without {}: \"true\"",
                key::PROXY_MODE,
                key::INJECT_PROXY_SIDECAR
            )
        });
    }
    wishes.skipped.warn(warnings);
}

const POD_KEYS: &[&str] = &[
    key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
    key::SKIP_CONTAINERS,
    key::INJECT_PROXY_SIDECAR,
    key::PROXY_SIDECAR_PORT,
    key::PROXY_MODE,
    key::IDENTITY_MAP,
    key::PROXY_CPU_LIMIT,
    key::PROXY_CPU_REQUEST,
    key::PROXY_MEMORY_LIMIT,
    key::PROXY_MEMORY_REQUEST,
    marker::ANNOTATION,
];

const ACCOUNT_KEYS: &[&str] = &[
    key::CLIENT_ID,
    key::TENANT_ID,
    key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
];

fn hint_for_pod(name: &str) -> String {
    if name == label::USE {
        return ": it is a label".to_owned();
    }
    let suffix = name.strip_prefix(label::USE);
    if suffix.is_some_and(|suffix| suffix.starts_with('-')) {
        return ": the webhook is not configured for identity bindings of this name".to_owned();
    }
    let elsewhere = "it belongs on the service account";
    hint(name, POD_KEYS, ACCOUNT_KEYS, elsewhere)
}

fn hint(name: &str, keys: &[&str], keys_elsewhere: &[&str], elsewhere: &str) -> String {
    if keys_elsewhere.contains(&name) {
        return format!(": {elsewhere}");
    }
    const MAX_DISTANCE: usize = 3;
    const MAX_LENGTH: usize = 128;
    if name.len() > MAX_LENGTH {
        return String::new();
    }
    let close = keys.iter().map(|key| (strsim::levenshtein(name, key), key));
    match close
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .min()
    {
        Some((_, key)) => format!(": did you mean {key}?"),
        None => String::new(),
    }
}

fn proxy(pod: &Pod<'_>, config: &Config, seed: &Seed) -> Result<Option<Proxy>, Denial> {
    let mode = match pod.annotation(key::PROXY_MODE) {
        None => config.sidecar.mode,
        Some(mode) => mode
            .parse()
            .map_err(|_| Denial::ProxyMode(Shown::new(mode)))?,
    };
    let wanted = pod.annotation(key::INJECT_PROXY_SIDECAR).unwrap_or("false");
    let trimmed = wanted.trim();
    if trimmed.eq_ignore_ascii_case("false") {
        return Ok(None);
    }
    if !trimmed.eq_ignore_ascii_case("true") {
        return Err(Denial::InjectProxySidecar(Shown::new(wanted)));
    }
    let port = match pod.annotation(key::PROXY_SIDECAR_PORT) {
        Some(port) => match port.parse::<ServicePort>().map(ServicePort::get) {
            Err(_) => return Err(Denial::Port(Shown::new(port))),
            Ok(metadata::PORT) => return Err(Denial::PortOfMetadata),
            Ok(port) => port,
        },
        // All pods of the node share its ports.
        None if pod.spec.host_network == Some(true) => {
            sidecar::port(pod).unwrap_or_else(|| seed.port())
        }
        None => metadata::DEFAULT_PROXY_PORT,
    };
    Ok(Some(Proxy { mode, port }))
}

/// Checked here, where the user is told, and read by the proxy.
fn identity_map<'a>(pod: &'a Pod<'a>) -> Result<Option<&'a str>, Denial> {
    let Some(map) = pod.annotation(key::IDENTITY_MAP) else {
        return Ok(None);
    };
    if let Err(error) = map.parse::<IdentityMap>() {
        let entry = error.entries.first().map(String::as_str);
        return Err(Denial::IdentityMap(Shown::new(entry.unwrap_or_default())));
    }
    Ok(Some(map))
}

fn expiration(pod: &Pod<'_>, account: &Account) -> Result<u32, Denial> {
    let (owner, value) = match pod.annotation(key::SERVICE_ACCOUNT_TOKEN_EXPIRATION) {
        Some(value) => ("pod".to_owned(), value),
        None => match account.token_expiration.as_deref() {
            Some(value) => (format!("service account {}", pod.service_account()), value),
            None => return Ok(token::DEFAULT_EXPIRATION_SECONDS),
        },
    };
    let allowed = token::MIN_EXPIRATION_SECONDS..=token::MAX_EXPIRATION_SECONDS;
    match value.trim().parse() {
        Ok(seconds) if allowed.contains(&seconds) => Ok(seconds),
        _ => Err(Denial::Expiration {
            owner,
            value: Shown::new(value),
        }),
    }
}
