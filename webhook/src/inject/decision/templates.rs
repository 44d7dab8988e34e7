//! The injected containers as the operator's settings shape them. Those for usual pods are rendered
//! once, when the settings are read.

use std::borrow::Cow;
use std::ops::Deref;

use contract::{container, metadata, variable};

use crate::inject::output::manifest::{
    Capabilities, ContainerFields, ContainerPort, EnvVar, Exec, ExecHandler, Lifecycle,
    SecurityContext, Value,
};
use crate::inject::output::template::Template;
use crate::inject::policy::config::{Config, Mode, Sidecar};
use crate::inject::policy::seccomp::SeccompProfile;
use crate::inject::request::resources::Overrides;

/// The operator's settings, with the injected containers of usual pods rendered.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    proxy_init: Template,
    proxy: Template,
}

/// The choices of one pod that change the injected containers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Form<'a> {
    pub(crate) port: u16,
    pub(crate) metrics_port: Option<u16>,
    /// Whether `azwi-proxy` runs as its own user, whatever the pod or its namespace sets.
    pub(crate) has_own_user: bool,
    pub(crate) resources: &'a Overrides<'a>,
}

impl Prepared {
    /// `azwi-proxy-init` in this form.
    pub(crate) fn proxy_init(&self, form: &Form<'_>) -> Cow<'_, Template> {
        if self.is_usual(form) {
            Cow::Borrowed(&self.proxy_init)
        } else {
            Cow::Owned(Template::new(&proxy_init(&self.sidecar, form)))
        }
    }

    /// `azwi-proxy` in this form.
    pub(crate) fn proxy(&self, form: &Form<'_>) -> Cow<'_, Template> {
        if self.is_usual(form) {
            Cow::Borrowed(&self.proxy)
        } else {
            Cow::Owned(Template::new(&proxy(&self.sidecar, form)))
        }
    }

    fn is_usual(&self, form: &Form<'_>) -> bool {
        *form == usual(&self.sidecar, &Overrides::default())
    }
}

impl From<Config> for Prepared {
    fn from(config: Config) -> Self {
        let overrides = Overrides::default();
        let form = usual(&config.sidecar, &overrides);
        Self {
            proxy_init: Template::new(&proxy_init(&config.sidecar, &form)),
            proxy: Template::new(&proxy(&config.sidecar, &form)),
            config,
        }
    }
}

impl Deref for Prepared {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

/// The form for pods without options of their own.
fn usual<'a>(sidecar: &Sidecar, overrides: &'a Overrides<'a>) -> Form<'a> {
    Form {
        port: metadata::DEFAULT_PROXY_PORT,
        metrics_port: sidecar.metrics_port,
        has_own_user: sidecar.mode == Mode::Redirect,
        resources: overrides,
    }
}

fn proxy_init<'a>(sidecar: &'a Sidecar, form: &Form<'_>) -> ContainerFields<'a> {
    ContainerFields {
        name: container::PROXY_INIT,
        image: &sidecar.init_image,
        image_pull_policy: &sidecar.pull_policy,
        command: Some(["/proxy-init"]),
        args: Vec::new(),
        ports: Vec::new(),
        resources: form.resources.over(&sidecar.init_resources),
        // Uid 0: for other users, added capabilities do not reach the process.
        security_context: security_context(
            Some(0),
            init_capabilities(sidecar),
            &SeccompProfile::RuntimeDefault,
        ),
        lifecycle: None,
        restart_policy: None,
        termination_message_policy: "FallbackToLogsOnError",
    }
}

fn proxy<'a>(sidecar: &'a Sidecar, form: &Form<'_>) -> ContainerFields<'a> {
    let own = ContainerPort {
        container_port: form.port,
        name: None,
    };
    let metrics = form.metrics_port.map(|port| ContainerPort {
        container_port: port,
        name: Some(METRICS),
    });
    let port_flag = format!("--proxy-port={}", form.port);
    let level_flag = format!("--log-level={}", sidecar.log_level);
    let probe = Exec {
        command: vec![
            "/proxy".to_owned(),
            port_flag.clone(),
            "--probe".to_owned(),
            level_flag.clone(),
        ],
    };
    // The kubelet starts the next container when the hook has returned. A startup probe would do the same
    // for a native sidecar, a second later: the kubelet first has to see that the container runs.
    let post_start = ExecHandler { exec: probe };
    ContainerFields {
        name: container::PROXY,
        image: &sidecar.image,
        image_pull_policy: &sidecar.pull_policy,
        command: None,
        args: vec![port_flag, level_flag],
        ports: [Some(own), metrics].into_iter().flatten().collect(),
        resources: form.resources.over(&sidecar.resources),
        security_context: security_context(
            form.has_own_user.then_some(container::PROXY_UID),
            &[],
            &sidecar.seccomp_profile,
        ),
        lifecycle: Some(Lifecycle { post_start }),
        restart_policy: sidecar.native.then_some("Always"),
        termination_message_policy: "FallbackToLogsOnError",
    }
}

/// The variables of `azwi-proxy-init` besides the pod's own. The relay policy is passed on: with `deny`, it
/// redirects the proxy's own user, too.
pub(crate) fn proxy_init_environment(sidecar: &Sidecar, port: u16) -> Vec<EnvVar<'_>> {
    let port = EnvVar {
        name: variable::PROXY_PORT,
        value: Value::Number(port.into()),
    };
    let mut policies = sidecar.environment.iter();
    let policy = policies.find(|(name, value)| *name == variable::RELAY && value.trim() == "deny");
    let policy = policy.map(|(name, value)| EnvVar::text(name, value));
    [Some(port), policy].into_iter().flatten().collect()
}

fn init_capabilities(sidecar: &Sidecar) -> &'static [&'static str] {
    if sidecar.init_net_raw {
        &["NET_ADMIN", "NET_RAW"]
    } else {
        &["NET_ADMIN"]
    }
}

/// Without `uid`, the pod's user, its namespace's or the image's.
fn security_context<'a>(
    uid: Option<u32>,
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
        run_as_non_root: uid != Some(0),
        run_as_user: uid,
        seccomp_profile,
    }
}

/// The name of the port with metrics, for a PodMonitor.
const METRICS: &str = "azwi-metrics";
