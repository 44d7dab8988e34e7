//! The node, from inside its namespaces: makes its network and files, starts the components, waits
//! until pods can run, then runs the command.

mod agents;
mod certificates;
mod component;
mod control_plane;
mod filesystem;
mod flags;
mod images;
mod kubeconfig;
mod network;
mod outside;
mod ready;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use nix::sys::signal::SigSet;
use nix::unistd::sethostname;

use crate::arguments::{Inside, Run};
use crate::exit;
use crate::prepare::Tools;
use certificates::Certificates;
use component::Components;

/// The node's name.
const NAME: &str = "node";

/// The files of the run, on a tmpfs that ends with the namespaces.
const FOLDER: &str = "/run/cluster";

/// Why the node ends.
enum End {
    /// The command ended, or the node failed to start.
    Command(Result<ExitCode>),
    /// A component failed.
    Component(Error),
}

/// Runs the node and the command on it.
///
/// # Errors
///
/// When the node does not start, or a component fails: with its name and the end of its log.
pub fn node(inside: Inside) -> Result<ExitCode> {
    // Process 1 has blocked its signals; the processes that are started here need them.
    SigSet::all().thread_unblock()?;
    let (sender, receiver) = channel();
    let components = Components::new(sender.clone());
    thread::spawn(move || sender.send(End::Command(live(&inside, components))));
    end(&receiver)
}

/// Returns the first reason to end, except that a component's failure comes first: it may have made the
/// rest fail.
fn end(receiver: &Receiver<End>) -> Result<ExitCode> {
    match receiver.recv()? {
        End::Command(Err(error)) => match receiver.recv_timeout(Duration::from_millis(500)) {
            Ok(End::Component(cause)) => Err(cause),
            _ => Err(error),
        },
        End::Command(outcome) => outcome,
        End::Component(error) => Err(error),
    }
}

fn live(inside: &Inside, mut components: Components) -> Result<ExitCode> {
    let tools = Tools::locate(&inside.run.prepare.kubernetes)?;
    sethostname(NAME)?;
    filesystem::set_up(inside.run.logs.as_deref())?;
    network::set_up()?;
    components.use_programs(programs(&tools)?);
    start(inside, &tools, &components)?;
    run_command(&inside.run, &components)
}

/// Starts the components without dependencies at once, and the rest as soon as the API server answers.
fn start(inside: &Inside, tools: &Tools, components: &Components) -> Result<()> {
    control_plane::start_etcd(components)?;
    agents::start_containerd(components)?;
    outside::start(&inside.run, components)?;
    let certificates = Certificates::make()?;
    control_plane::start_api_server(components, tools, &certificates)?;
    thread::scope(|scope| {
        let imports = scope.spawn(|| images::import(components, tools, &inside.run.images));
        ready::wait_for_api(components)?;
        control_plane::start_controllers(components, tools)?;
        agents::start_kubelet(components, tools, &inside.cgroup)?;
        agents::start_kube_proxy(components, tools)?;
        control_plane::publish_keys(components)?;
        ready::wait_for_node(components)?;
        outside::wait()?;
        imports
            .join()
            .unwrap_or_else(|_| anyhow::bail!("the import of images panicked"))
    })
}

fn run_command(run: &Run, components: &Components) -> Result<ExitCode> {
    let (program, arguments) = run.command.split_first().context("no command")?;
    let mut command = Command::new(program);
    // Without the user's web proxies: the node has no network beyond itself.
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command
            .env_remove(variable)
            .env_remove(variable.to_lowercase());
    }
    let status = command
        .args(arguments)
        .env("PATH", components.programs())
        .env("KUBECONFIG", kubeconfig::ADMIN)
        .env("CLUSTER_LOGS", filesystem::LOGS)
        .env("CLUSTER_API_CA", certificates::CA)
        .env("AZURE_CONTROL", format!("http://{}", outside::CONTROL))
        .env("AZURE_CA_FILE", outside::AZURE_CA)
        .env("CONTAINERD_ADDRESS", agents::CONTAINERD)
        .env("CONTAINERD_NAMESPACE", images::NAMESPACE)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(exit::of(status))
}

/// `PATH` with the prepared programs first, and root's programs at the end.
fn programs(tools: &Tools) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = [tools.clients.clone(), tools.runtime.clone()]
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .collect();
    env::join_paths(folders).context("PATH cannot be extended")
}
