//! `azwi-proxy-init` and `azwi-proxy`: their place in the pod, their form, and the pods that cannot
//! have them.

use std::borrow::Cow;

use contract::{container, metadata, variable};

use super::annotation::{Proxy, Wishes};
use super::config::{Config, Mode, Prepared, Sidecar};
use super::denial::{Denial, Shown};
use super::endpoint::Endpoint;
use super::environment::Identity;
use super::patch::Patch;
use super::pod::{Container as Existing, Pod};
use super::resources::Overrides;
use super::seccomp::SeccompProfile;
use super::spec::{
    Capabilities, Container, ContainerPort, EnvVar, Exec, ExecHandler, Fields, Frame, Lifecycle,
    Probe, SecurityContext,
};
use super::token::TokenVolume;
use super::warnings::Warnings;

/// Names the container that `kubectl logs` and `kubectl exec` mean when they name none.
pub(super) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The port with metrics, as a PodMonitor names it.
const METRICS: &str = "azwi-metrics";

/// The port of the proxy that the pod has already.
pub(super) fn port(pod: &Pod<'_>) -> Option<u16> {
    let mut containers = pod.all_containers();
    let (_, _, proxy) = containers.find(|(_, _, it)| it.name.as_str() == container::PROXY)?;
    let port = proxy.ports.as_ref()?.first()?.container_port?;
    port.try_into().ok()
}

/// Refuses pods in which the proxy would not work, or would not be safe.
pub(super) fn check(pod: &Pod<'_>, proxy: Proxy) -> Result<(), Denial> {
    let Proxy { mode, port } = proxy;
    let redirects = mode == Mode::Redirect;
    if redirects && pod.spec.host_network == Some(true) {
        return Err(Denial::HostNetwork);
    }
    if pod.is_windows() {
        return Err(Denial::Windows);
    }
    let of_pod = pod
        .spec
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    for (list, _, existing) in pod.all_containers() {
        if is_injected(existing) {
            continue;
        }
        let own = existing
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user);
        if redirects && own.or(of_pod) == Some(container::PROXY_UID.into()) {
            return Err(Denial::ProxyUid(Shown::new(existing.name.as_str())));
        }
        if listens(list, existing, port) {
            let container = Shown::new(existing.name.as_str());
            return Err(Denial::PortTaken { container, port });
        }
    }
    Ok(())
}

/// Whether the container of this list declares the port, and runs beside the proxy.
fn listens(list: &str, existing: &Existing<'_>, port: u16) -> bool {
    let runs_beside_proxy = list == "containers" || existing.is_native_sidecar();
    let mut ports = existing.ports.iter().flatten();
    runs_beside_proxy && ports.any(|it| it.is_tcp() && it.container_port == Some(port.into()))
}

/// The proxy's port for metrics, where nobody else has it: the pod matters more. On the node's network
/// other pods would.
fn metrics_port(
    pod: &Pod<'_>,
    config: &Config,
    proxy_port: u16,
    warnings: &mut Warnings,
) -> Option<u16> {
    let port = config.sidecar.metrics_port?;
    if pod.spec.host_network == Some(true) {
        return None;
    }
    let mut containers = pod.all_containers();
    let is_taken = port == proxy_port
        || containers.any(|(list, _, it)| !is_injected(it) && listens(list, it, port));
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

/// Adds the containers that the pod lacks. The redirect stands first, then the proxy, then the
/// user's init containers: none of them reaches the node's identity.
#[expect(
    clippy::too_many_arguments,
    reason = "one place where everything comes together"
)]
pub(super) fn insert<'a>(
    pod: &'a Pod<'a>,
    config: &'a Prepared,
    wishes: &Wishes<'a>,
    identity: &Identity<'a>,
    volume: &TokenVolume<'a>,
    wanted: Proxy,
    endpoint: Option<&Endpoint>,
    patch: &mut Patch,
    warnings: &mut Warnings,
) {
    let Proxy { mode, port } = wanted;
    let init_index = position(pod.init_containers(), container::PROXY_INIT);
    let has_proxy = has_proxy(pod);
    let init_length = pod.spec.init_containers.as_ref().map(Vec::len);
    let native = config.sidecar.native;

    let metrics_port = metrics_port(pod, config, port, warnings);
    let rendered;
    let frames = if port == metadata::DEFAULT_PROXY_PORT
        && metrics_port == config.sidecar.metrics_port
        && wishes.resources == Overrides::default()
    {
        &config.frames
    } else {
        rendered = Frames::render(&config.sidecar, port, metrics_port, &wishes.resources);
        &rendered
    };

    let (mounts, token_file) = volume.mounts_for_new(wishes);
    let proxy = || {
        let named = Existing::named(container::PROXY);
        let mut env = identity.variables_for(&named, token_file);
        env.extend(endpoint.iter().flat_map(|it| it.variables_for(&named)));
        env.extend(metrics_port.map(|port| EnvVar {
            name: variable::METRICS_PORT,
            value: Cow::Owned(port.to_string()),
        }));
        if native {
            // It ends after the application by itself, so it need not wait for the end of the pod.
            env.push(EnvVar {
                name: variable::SHUTDOWN,
                value: Cow::Borrowed("now"),
            });
        }
        Container {
            frame: &frames.proxy,
            env,
            volume_mounts: mounts,
        }
    };

    let mut first = Vec::new();
    if init_index.is_none() && mode == Mode::Redirect {
        first.push(Container {
            frame: &frames.init,
            env: Vec::new(),
            volume_mounts: Vec::new(),
        });
    }
    if !has_proxy && native {
        first.push(proxy());
    } else if !has_proxy {
        let length = pod.spec.containers.as_ref().map(Vec::len);
        patch.insert("containers", length, 0, &[proxy()]);
    }
    let after_init = init_index.map_or(0, |index| index + 1);
    patch.insert("initContainers", init_length, after_init, &first);

    for early in pod
        .init_containers()
        .iter()
        .take(init_index.unwrap_or_default())
    {
        if !is_injected(early) {
            warnings.push(|| {
                format!(
                    "init container {} runs before {}: its metadata requests reach the node's own \
                     identity",
                    early.name.as_str(),
                    container::PROXY_INIT
                )
            });
        }
    }
}

/// Lets kubectl go on to mean the user's container, although the proxy is first now.
pub(super) fn default_container(pod: &Pod<'_>, config: &Config) -> Option<(&'static str, String)> {
    let first = pod.containers().first()?;
    let becomes_second = !config.sidecar.native && !has_proxy(pod);
    (becomes_second && pod.annotation(DEFAULT_CONTAINER).is_none())
        .then(|| (DEFAULT_CONTAINER, first.name.as_str().to_owned()))
}

fn has_proxy(pod: &Pod<'_>) -> bool {
    [pod.containers(), pod.init_containers()]
        .into_iter()
        .any(|containers| position(containers, container::PROXY).is_some())
}

fn position(containers: &[Existing<'_>], name: &str) -> Option<usize> {
    containers
        .iter()
        .position(|container| container.name.as_str() == name)
}

fn is_injected(existing: &Existing<'_>) -> bool {
    [container::PROXY, container::PROXY_INIT].contains(&existing.name.as_str())
}

/// What both containers have in every pod with this port and these resources.
#[derive(Debug)]
pub(super) struct Frames {
    init: Frame,
    proxy: Frame,
}

impl Frames {
    /// For pods that ask for nothing special: most of them.
    pub(super) fn usual(sidecar: &Sidecar) -> Self {
        let (port, metrics_port) = (metadata::DEFAULT_PROXY_PORT, sidecar.metrics_port);
        Self::render(sidecar, port, metrics_port, &Overrides::default())
    }

    fn render(
        sidecar: &Sidecar,
        port: u16,
        metrics_port: Option<u16>,
        overrides: &Overrides<'_>,
    ) -> Self {
        Self {
            init: Frame::new(&proxy_init(sidecar, port, overrides)),
            proxy: Frame::new(&proxy(sidecar, port, metrics_port, overrides)),
        }
    }
}

fn proxy_init<'a>(sidecar: &'a Sidecar, port: u16, overrides: &Overrides<'_>) -> Fields<'a> {
    Fields {
        name: container::PROXY_INIT,
        image: &sidecar.init_image,
        image_pull_policy: &sidecar.pull_policy,
        command: Some(["/proxy-init"]),
        args: Vec::new(),
        env: proxy_init_environment(sidecar, port),
        ports: Vec::new(),
        resources: overrides.over(&sidecar.init_resources),
        // Uid 0, since a capability that is added reaches no other user's process.
        security_context: security_context(
            0,
            init_capabilities(sidecar),
            &SeccompProfile::RuntimeDefault,
        ),
        lifecycle: None,
        restart_policy: None,
        startup_probe: None,
        termination_message_policy: "FallbackToLogsOnError",
    }
}

fn proxy<'a>(
    sidecar: &'a Sidecar,
    port: u16,
    metrics_port: Option<u16>,
    overrides: &Overrides<'_>,
) -> Fields<'a> {
    let own = ContainerPort {
        container_port: port,
        name: None,
    };
    let metrics = metrics_port.map(|port| ContainerPort {
        container_port: port,
        name: Some(METRICS),
    });
    let port_flag = format!("--proxy-port={port}");
    let level_flag = format!("--log-level={}", sidecar.log_level);
    let probe = Exec {
        command: vec![
            "/proxy".to_owned(),
            port_flag.clone(),
            "--probe".to_owned(),
            level_flag.clone(),
        ],
    };
    let (lifecycle, startup_probe) = if sidecar.native {
        // The next init container starts when this has succeeded.
        let probe = Probe {
            exec: probe,
            failure_threshold: 60,
            period_seconds: 1,
            timeout_seconds: 5,
        };
        (None, Some(probe))
    } else {
        // The next container starts when this has returned.
        (
            Some(Lifecycle {
                post_start: ExecHandler { exec: probe },
            }),
            None,
        )
    };
    Fields {
        name: container::PROXY,
        image: &sidecar.image,
        image_pull_policy: &sidecar.pull_policy,
        command: None,
        args: vec![port_flag, level_flag],
        env: Vec::new(),
        ports: [Some(own), metrics].into_iter().flatten().collect(),
        resources: overrides.over(&sidecar.resources),
        security_context: security_context(container::PROXY_UID, &[], &sidecar.seccomp_profile),
        lifecycle,
        restart_policy: sidecar.native.then_some("Always"),
        startup_probe,
        termination_message_policy: "FallbackToLogsOnError",
    }
}

/// A proxy that relays nothing leaves its user no way to the node's IMDS.
fn proxy_init_environment(sidecar: &Sidecar, port: u16) -> Vec<EnvVar<'_>> {
    let port = EnvVar {
        name: variable::PROXY_PORT,
        value: Cow::Owned(port.to_string()),
    };
    let mut policies = sidecar.environment.iter();
    let policy = policies.find(|(name, value)| *name == variable::RELAY && value.trim() == "deny");
    let policy = policy.map(|(name, value)| EnvVar {
        name,
        value: Cow::Borrowed(value),
    });
    [Some(port), policy].into_iter().flatten().collect()
}

fn init_capabilities(sidecar: &Sidecar) -> &'static [&'static str] {
    if sidecar.init_net_raw {
        &["NET_ADMIN", "NET_RAW"]
    } else {
        &["NET_ADMIN"]
    }
}

fn security_context<'a>(
    uid: u32,
    capabilities: &'static [&'static str],
    seccomp_profile: &'a SeccompProfile,
) -> SecurityContext<'a> {
    SecurityContext {
        allow_privilege_escalation: false,
        capabilities: Capabilities {
            add: capabilities,
            drop: ["ALL"],
        },
        privileged: false,
        read_only_root_filesystem: true,
        run_as_group: uid,
        run_as_non_root: uid != 0,
        run_as_user: uid,
        seccomp_profile,
    }
}
