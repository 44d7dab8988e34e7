//! `azwi-proxy-init` and `azwi-proxy`: the pods that can have them, and their place in the pod.

use std::borrow::Cow;

use contract::value::Toggle;
use contract::{container, variable};

use super::containers::ContainerRules;
use super::recognition::Present;
use super::templates::{Form, Prepared, proxy_init_environment};
use crate::inject::feedback::denial::{Denial, Shown};
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::entries::DEFAULT_CONTAINER;
use crate::inject::input::pod::{List, Place, Pod};
use crate::inject::output::additions::{Move, NewContainer, NewContainers};
use crate::inject::output::manifest::{EnvVar, Value};
use crate::inject::policy::config::{Config, Mode};
use crate::inject::request::options::ProxyOptions;

/// Refuses pods in which the proxy would not work, or would not be safe.
///
/// # Errors
///
/// A [`Denial`] with the reason.
pub(crate) fn check(
    pod: &Pod<'_>,
    proxy: ProxyOptions,
    present: &Present<'_>,
) -> Result<(), Denial> {
    let ProxyOptions { mode, port } = proxy;
    let redirects = mode == Mode::Redirect;
    // Before the check of hostNetwork, which HostProcess pods have too: who followed that denial's advice would meet
    // this one next.
    if let Some(field) = pod.windows() {
        return Err(Denial::Windows { field });
    }
    if redirects && pod.uses_host_network() {
        return Err(Denial::HostNetwork);
    }
    for (at, existing) in pod.all_containers() {
        if present.is_known(at) {
            continue;
        }
        let container = || Shown::new(existing.name.as_str());
        let uid = existing.run_as_user().or_else(|| pod.run_as_user());
        if redirects && uid == Some(container::PROXY_UID.into()) {
            return Err(match present.doubt(at) {
                None => Denial::ProxyUid(container()),
                Some(doubt) => Denial::ProxyUidInDoubt {
                    container: container(),
                    doubt: doubt.to_string(),
                },
            });
        }
        if !existing.is_injected() && existing.listens(at.list, port) {
            let container = container();
            return Err(Denial::PortTaken { container, port });
        }
    }
    Ok(())
}

/// The port for metrics. `None` if the operator turned metrics off, if another container of the pod
/// listens there, or on the node's network, where the port would clash with other pods.
pub(crate) fn metrics_port(
    pod: &Pod<'_>,
    config: &Config,
    proxy_port: u16,
    warnings: &mut Warnings,
) -> Option<u16> {
    let port = config.sidecar.metrics_port?;
    if pod.uses_host_network() {
        return None;
    }
    let mut containers = pod.all_containers();
    let is_taken = port == proxy_port
        || containers.any(|(at, it)| !it.is_injected() && it.listens(at.list, port));
    if is_taken {
        warnings.push(|| {
            format!(
                "port {port} is taken in the pod: {} has no metrics",
                container::PROXY
            )
        });
        return None;
    }
    Some(port)
}

/// Whether the proxy runs as its own user. The redirect exempts that user. Mode `environment` leaves the user to
/// the pod, because some namespaces, such as OpenShift's, admit only users of a range; but where the pod's user is
/// root, the proxy has its own.
pub(crate) fn has_own_user(pod: &Pod<'_>, mode: Mode) -> bool {
    mode == Mode::Redirect || pod.run_as_user() == Some(0)
}

/// The moves that put the webhook's init containers before all others, where another tool has put some
/// before them: otherwise these would reach the node's identity. A container that may not be the webhook's
/// stays, and so does the proxy behind it.
pub(crate) fn moves(present: &Present<'_>) -> Vec<Move> {
    let redirect = present.redirect.as_ref();
    if redirect.is_some_and(|it| !it.is_known()) {
        return Vec::new();
    }
    let proxy = present.proxy.as_ref().filter(|it| it.is_known());
    let own = [redirect, proxy].into_iter().flatten();
    let own: Vec<_> = own
        .filter(|it| it.at.list == List::InitContainers)
        .map(|it| it.at.index)
        .collect();
    let moves = own.iter().enumerate().map(|(to, index)| {
        // Those that were moved from behind it push it back.
        let pushed = own.iter().take(to).filter(|earlier| *earlier > index);
        let from = index + pushed.count();
        Move { from, to }
    });
    moves.filter(|it| it.from != it.to).collect()
}

/// The containers that the pod lacks. The redirect comes first, then the proxy, then the user's init
/// containers, so that none of these reaches the node's identity.
pub(crate) fn new_containers<'a>(
    present: &Present<'_>,
    config: &'a Prepared,
    mode: Mode,
    form: &Form<'_>,
    rules: &'a ContainerRules<'_>,
) -> Vec<NewContainers<'a>> {
    let mut new = Vec::new();
    let mut new_init = Vec::new();
    if present.redirect.is_none() && mode == Mode::Redirect {
        new_init.push(NewContainer {
            template: config.proxy_init(form),
            variables: proxy_init_environment(&config.sidecar, form.port)
                .into_iter()
                .chain(rules.relay_key.variable())
                .collect(),
            mounts: Vec::new(),
        });
    }
    if present.proxy.is_none() {
        let proxy = new_proxy(config, form, rules);
        if config.sidecar.native {
            new_init.push(proxy);
        } else {
            new.push(NewContainers {
                at: Place {
                    list: List::Containers,
                    index: 0,
                },
                containers: vec![proxy],
            });
        }
    }
    if !new_init.is_empty() {
        new.push(NewContainers {
            at: Place {
                list: List::InitContainers,
                index: present.redirect.as_ref().map_or(0, |redirect| {
                    let is_first = redirect.is_known();
                    1 + if is_first { 0 } else { redirect.at.index }
                }),
            },
            containers: new_init,
        });
    }
    new
}

fn new_proxy<'a>(
    config: &'a Prepared,
    form: &Form<'_>,
    rules: &'a ContainerRules<'_>,
) -> NewContainer<'a> {
    let (mounts, mut variables) = rules.new_proxy();
    variables.extend(rules.relay_key.variable());
    variables.extend(form.metrics_port.map(|port| EnvVar {
        name: variable::METRICS_PORT,
        value: Value::Number(port.into()),
    }));
    if config.sidecar.native {
        // The kubelet ends a native sidecar after the application, so it need not wait by itself.
        variables.push(EnvVar::text(variable::SHUTDOWN, "now"));
    } else {
        variables.extend(rules.linger_seconds.map(|seconds| EnvVar {
            name: variable::SHUTDOWN,
            value: Value::Number(seconds.get()),
        }));
        // The kubelet restarts a native sidecar that ends.
        if rules.quit {
            variables.push(EnvVar::text(variable::QUIT, Toggle::On.as_str()));
        }
    }
    NewContainer {
        template: config.proxy(form),
        variables,
        mounts,
    }
}

/// The annotation that keeps the user's container the default of `kubectl logs` and `kubectl exec`,
/// where the proxy becomes the first one.
pub(crate) fn default_container<'a>(
    pod: &'a Pod<'_>,
    config: &Config,
) -> Option<(&'static str, Cow<'a, str>)> {
    let first = pod.containers().first()?;
    let becomes_second = !config.sidecar.native && pod.proxy().is_none();
    (becomes_second && pod.annotation(DEFAULT_CONTAINER).is_none())
        .then(|| (DEFAULT_CONTAINER, Cow::Borrowed(first.name.as_str())))
}
