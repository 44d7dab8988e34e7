//! The options of one pod: its annotations, with the service account's and the operator's values
//! where it sets none.

use contract::value::{IdentityMap, LingerSeconds, Prefetch, ServicePort, Verify};
use contract::{annotation as key, container, metadata, token};

use crate::inject::feedback::denial::{Denial, Shown};
use crate::inject::input::account::Account;
use crate::inject::input::marker::Marker;
use crate::inject::input::pod::{Container, Pod};
use crate::inject::input::seed::Seed;
use crate::inject::policy::config::{Bindings, Config, Mode, PodSecurity};

use super::resources::Overrides;
use super::skipped::Skipped;

/// The options of one pod.
#[derive(Debug)]
pub(crate) struct PodOptions<'a> {
    /// `None` for a pod that gets only the token and variables.
    pub(crate) proxy: Option<ProxyOptions>,
    /// Lifetime of the projected token in seconds.
    pub(crate) expiration_seconds: u32,
    /// Audience of the projected token.
    pub(crate) audience: &'a str,
    /// Identity bindings, when the pod uses them.
    pub(crate) bindings: Option<&'a Bindings>,
    /// Annotation `identity-map`: the proxy reads it.
    pub(crate) identity_map: Option<&'a str>,
    /// Annotation `proxy-prefetch`: the proxy reads it.
    pub(crate) prefetch: Option<&'a str>,
    /// Annotation `proxy-verify`, as far as the cluster can keep it.
    pub(crate) verify: Option<Verify>,
    /// Annotation `proxy-linger-seconds`, or the operator's.
    pub(crate) linger_seconds: Option<LingerSeconds>,
    /// Annotation `proxy-quit`, or the operator's choice.
    pub(crate) quit: bool,
    /// The effect of the namespace's Pod Security level on the mode.
    pub(crate) restriction: Option<Restriction>,
    pub(crate) resources: Overrides<'a>,
    pub(crate) skipped: Skipped<'a>,
}

/// The effect of a namespace that refuses the init container of mode `redirect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restriction {
    /// The pod gets mode `environment`, because neither its annotation nor the cluster chose that.
    ChoosesEnvironment,
    /// The pod has mode `redirect`, and will be refused.
    RefusesRedirect,
}

/// The options of the injected proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyOptions {
    pub(crate) mode: Mode,
    pub(crate) port: u16,
}

impl<'a> PodOptions<'a> {
    /// The mode, if the namespace chose it.
    pub(crate) fn mode_of_namespace(&self) -> Option<Mode> {
        let is_chosen = self.restriction == Some(Restriction::ChoosesEnvironment);
        is_chosen.then_some(Mode::Environment)
    }

    /// Reads the pod's annotations. `seed` chooses the proxy's port on the node's network.
    ///
    /// # Errors
    ///
    /// A [`Denial`] for a value that cannot work.
    pub(crate) fn read(
        pod: &'a Pod<'a>,
        config: &'a Config,
        account: &Account,
        seed: &Seed,
        security: PodSecurity,
    ) -> Result<Self, Denial> {
        let (mode, restriction) = mode(pod, config, security)?;
        let proxy = proxy(pod, mode, seed)?;
        let bindings = config.bindings.as_ref().filter(|bindings| {
            let value = pod.annotation(&bindings.annotation).unwrap_or_default();
            value.trim().eq_ignore_ascii_case("true")
        });
        Ok(Self {
            proxy,
            restriction: restriction.filter(|_| proxy.is_some()),
            expiration_seconds: expiration(pod, account)?,
            audience: bindings.map_or(&config.audience, |bindings| &bindings.audience),
            bindings,
            identity_map: identity_map(pod)?,
            prefetch: prefetch(pod)?,
            verify: verify(pod, config)?,
            linger_seconds: linger_seconds(pod, config)?,
            quit: quit(pod, config)?,
            resources: Overrides::read(pod)?,
            skipped: Skipped::read(pod),
        })
    }
}

/// The mode, and the namespace's part in it. The annotation wins, then what the pod has from an earlier run.
fn mode(
    pod: &Pod<'_>,
    config: &Config,
    security: PodSecurity,
) -> Result<(Mode, Option<Restriction>), Denial> {
    let is_restricted = security == PodSecurity::RefusesNetAdmin;
    let refused = is_restricted.then_some(Restriction::RefusesRedirect);
    if let Some(mode) = pod.annotation(key::PROXY_MODE) {
        return match mode.parse() {
            Ok(Mode::Environment) => Ok((Mode::Environment, None)),
            Ok(Mode::Redirect) => Ok((Mode::Redirect, refused)),
            Err(_) => Err(Denial::ProxyMode(Shown::new(mode))),
        };
    }
    if config.sidecar.mode == Mode::Environment {
        return Ok((Mode::Environment, None));
    }
    let mut containers = pod.all_containers();
    if containers.any(|(_, it)| it.name.as_str() == container::PROXY_INIT) {
        return Ok((Mode::Redirect, refused));
    }
    if is_restricted || was_chosen_by_namespace(pod) {
        return Ok((Mode::Environment, Some(Restriction::ChoosesEnvironment)));
    }
    Ok((Mode::Redirect, None))
}

/// Whether an earlier run injected the pod's proxy in mode `environment` because of its namespace.
fn was_chosen_by_namespace(pod: &Pod<'_>) -> bool {
    let marker = pod.proxy().and_then(|_| Marker::read(pod));
    let mode = marker.and_then(|marker| marker.mode_of_namespace?.parse().ok());
    mode == Some(Mode::Environment)
}

fn proxy(pod: &Pod<'_>, mode: Mode, seed: &Seed) -> Result<Option<ProxyOptions>, Denial> {
    let inject = pod.annotation(key::INJECT_PROXY_SIDECAR).unwrap_or("false");
    match switch(inject) {
        Some(true) => {}
        Some(false) => return Ok(None),
        None => return Err(Denial::InjectProxySidecar(Shown::new(inject))),
    }
    let port = match pod.annotation(key::PROXY_SIDECAR_PORT) {
        Some(port) => match port.parse::<ServicePort>().map(ServicePort::get) {
            Err(_) => return Err(Denial::Port(Shown::new(port))),
            Ok(metadata::PORT) => return Err(Denial::PortOfMetadata),
            Ok(port) => port,
        },
        // Pods on the node's network share its ports, so each needs another. An earlier run has
        // chosen one already.
        None if pod.uses_host_network() => pod
            .proxy()
            .and_then(Container::first_port)
            .unwrap_or_else(|| seed.port()),
        None => metadata::DEFAULT_PROXY_PORT,
    };
    Ok(Some(ProxyOptions { mode, port }))
}

/// The map as the proxy will read it. Checked here because the user sees a denial, not the proxy's
/// log.
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

fn prefetch<'a>(pod: &'a Pod<'a>) -> Result<Option<&'a str>, Denial> {
    let Some(resources) = pod.annotation(key::PROXY_PREFETCH) else {
        return Ok(None);
    };
    match resources.parse::<Prefetch>() {
        Ok(_) => Ok(Some(resources)),
        Err(reason) => Err(Denial::Prefetch {
            value: Shown::new(resources),
            reason,
        }),
    }
}

/// The kubelet starts the containers behind a plain one although that one failed, and in some pods does not
/// restart it. So nothing is enforced there.
fn verify(pod: &Pod<'_>, config: &Config) -> Result<Option<Verify>, Denial> {
    let Some(text) = pod.annotation(key::PROXY_VERIFY) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(Verify::Enforce) if config.sidecar.native => Ok(Some(Verify::Enforce)),
        Ok(_) => Ok(Some(Verify::Warn)),
        Err(_) => Err(Denial::Verify(Shown::new(text))),
    }
}

fn linger_seconds(pod: &Pod<'_>, config: &Config) -> Result<Option<LingerSeconds>, Denial> {
    let Some(seconds) = pod.annotation(key::PROXY_LINGER_SECONDS) else {
        return Ok(config.sidecar.linger_seconds);
    };
    match seconds.parse() {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) => Err(Denial::LingerSeconds(Shown::new(seconds))),
    }
}

fn quit(pod: &Pod<'_>, config: &Config) -> Result<bool, Denial> {
    match pod.annotation(key::PROXY_QUIT) {
        None => Ok(config.sidecar.quit),
        Some(text) => switch(text).ok_or_else(|| Denial::Quit(Shown::new(text))),
    }
}

/// `true` or `false` in any case.
fn switch(text: &str) -> Option<bool> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn expiration(pod: &Pod<'_>, account: &Account) -> Result<u32, Denial> {
    let (owner, value) = match pod.annotation(key::SERVICE_ACCOUNT_TOKEN_EXPIRATION) {
        Some(value) => ("pod".to_owned(), value),
        None => match account.token_expiration.as_deref() {
            Some(value) if !value.trim().is_empty() => {
                (format!("service account {}", pod.service_account()), value)
            }
            _ => return Ok(token::DEFAULT_EXPIRATION_SECONDS),
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
