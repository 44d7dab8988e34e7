//! Whether containers with the names of the injected ones are the webhook's. A name alone shows nothing:
//! every user and every tool can give it to a container.
//!
//! Known are the webhook's own containers of any version, and those of azure-workload-identity. The
//! image, the command line and the variables are compared, which catches mistakes and other tools. Who may
//! create pods can imitate all of that, and can also leave out the label.

use std::fmt;

use contract::{container, metadata, variable};

use crate::inject::feedback::denial::Shown;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::directory::Directory;
use crate::inject::input::pod::{Container, List, Place, Pod};
use crate::inject::policy::config::{Mode, Sidecar};

/// The pod's containers with the names of the injected ones.
#[derive(Debug)]
pub(crate) struct Present<'a> {
    pub(crate) redirect: Option<Found<'a>>,
    pub(crate) proxy: Option<Found<'a>>,
}

/// A container with the name of an injected one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    pub(crate) at: Place,
    /// `None` if it is the webhook's, or azure-workload-identity's.
    pub(crate) doubt: Option<Doubt<'a>>,
}

/// Why a container with the name of an injected one may be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt<'a> {
    /// All is as expected, but the image comes from another place: perhaps a mirror.
    Registry { image: &'a str, expected: &'a str },
    /// Another image.
    Image { image: &'a str, expected: &'a str },
    /// Another program, or arguments with which `proxy-init` does not redirect.
    CommandLine,
    /// A volume in the place of the program.
    Mount,
    /// Variables with which `proxy-init` redirects another address, or exempts another user.
    Variables,
    /// The kubelet would start the next container before `azwi-proxy-init` has ended.
    KeepsRunning,
    /// The kubelet would wait for the end of `azwi-proxy`.
    MustEnd,
    /// `azwi-proxy-init` runs beside the application, not before it.
    NoInitContainer,
}

impl<'a> Present<'a> {
    /// Looks for both containers.
    pub(crate) fn find(pod: &'a Pod<'a>, sidecar: &'a Sidecar) -> Self {
        let named = |name| {
            let mut containers = pod.all_containers();
            containers.find(|(_, it)| it.name.as_str() == name)
        };
        Self {
            redirect: named(container::PROXY_INIT).map(|(at, existing)| Found {
                at,
                doubt: doubt_about_redirect(at, existing, sidecar),
            }),
            proxy: named(container::PROXY).map(|(at, existing)| Found {
                at,
                doubt: doubt_about_proxy(at, existing, sidecar),
            }),
        }
    }

    /// Whether the container at this place is one of the injected ones, as far as the pod shows it.
    pub(crate) fn is_known(&self, place: Place) -> bool {
        let mut found = [&self.redirect, &self.proxy].into_iter().flatten();
        found.any(|found| found.at == place && found.is_known())
    }

    /// The doubt about the container at this place.
    pub(crate) fn doubt(&self, place: Place) -> Option<Doubt<'a>> {
        let mut found = [&self.redirect, &self.proxy].into_iter().flatten();
        found.find(|found| found.at == place)?.doubt
    }

    /// The names of the containers that this mode needs and that may be others, separated by commas.
    pub(crate) fn unverified(&self, mode: Mode) -> Option<&'static str> {
        const BOTH: &str = "azwi-proxy-init,azwi-proxy";
        let is_doubted = |found: &Option<Found<'_>>| found.as_ref().is_some_and(Found::is_doubted);
        let is_redirect_doubted = mode == Mode::Redirect && is_doubted(&self.redirect);
        match (is_redirect_doubted, is_doubted(&self.proxy)) {
            (false, false) => None,
            (true, false) => Some(container::PROXY_INIT),
            (false, true) => Some(container::PROXY),
            (true, true) => Some(BOTH),
        }
    }

    /// Warns about each container that this mode needs and that may be another one.
    pub(crate) fn warn(&self, mode: Mode, warnings: &mut Warnings) {
        let redirect = self.redirect.as_ref().filter(|_| mode == Mode::Redirect);
        for (name, found) in [
            (container::PROXY_INIT, redirect),
            (container::PROXY, self.proxy.as_ref()),
        ] {
            if let Some(doubt) = found.and_then(|found| found.doubt) {
                warnings.push(|| {
                    format!(
                        "container {name} may not be the webhook's: {doubt}. Requests to the \
                         metadata service may reach the node's own identity. {}",
                        doubt.advice()
                    )
                });
            }
        }
    }
}

impl Found<'_> {
    /// Whether it may be a container of the webhook's. A webhook that changes the registry of images does
    /// not make it another container.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.doubt, None | Some(Doubt::Registry { .. }))
    }

    fn is_doubted(&self) -> bool {
        self.doubt.is_some()
    }
}

impl Doubt<'_> {
    fn advice(&self) -> &'static str {
        match self {
            Self::Registry { .. } => "Remove it, or configure the webhook with this registry",
            _ => "Remove it, and the webhook adds its own",
        }
    }
}

impl fmt::Display for Doubt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { image, expected } | Self::Image { image, expected } => {
                write!(
                    formatter,
                    "its image is {}, not {expected}",
                    Shown::new(image)
                )
            }
            Self::CommandLine => formatter.write_str("it has another command or arguments"),
            Self::Mount => formatter.write_str("it mounts a volume over its program"),
            Self::Variables => write!(
                formatter,
                "it sets {}, {}, {} or envFrom",
                variable::METADATA_IP,
                variable::METADATA_PORT,
                variable::PROXY_UID
            ),
            Self::KeepsRunning => formatter.write_str("it has restartPolicy: Always"),
            Self::MustEnd => {
                formatter.write_str("it is an init container without restartPolicy: Always")
            }
            Self::NoInitContainer => formatter.write_str("it is not an init container"),
        }
    }
}

fn doubt_about_redirect<'a>(
    at: Place,
    existing: &'a Container<'_>,
    sidecar: &'a Sidecar,
) -> Option<Doubt<'a>> {
    let image = existing.image.as_str();
    // Without a command the image's own program runs, which is another one in the image of the proxy.
    let runs_proxy_init = existing.is_command("/proxy-init")
        || (existing.has_no_command() && name_of(image) == UPSTREAM_REDIRECT);
    if at.list != List::InitContainers {
        Some(Doubt::NoInitContainer)
    } else if existing.is_native_sidecar() {
        Some(Doubt::KeepsRunning)
    } else if !runs_proxy_init || !existing.has_no_arguments() {
        Some(Doubt::CommandLine)
    } else if hides(existing, PROXY_INIT_PROGRAMS) {
        Some(Doubt::Mount)
    } else if !has_usual_address(existing) {
        Some(Doubt::Variables)
    } else {
        let ours = [&*sidecar.init_image, &*sidecar.image];
        doubt_about_image(image, &ours, UPSTREAM_REDIRECT)
    }
}

fn doubt_about_proxy<'a>(
    at: Place,
    existing: &'a Container<'_>,
    sidecar: &'a Sidecar,
) -> Option<Doubt<'a>> {
    if at.list == List::InitContainers && !existing.is_native_sidecar() {
        Some(Doubt::MustEnd)
    } else if !existing.has_no_command() && !existing.is_command("/proxy") {
        Some(Doubt::CommandLine)
    } else if hides(existing, PROXY_PROGRAMS) {
        Some(Doubt::Mount)
    } else {
        doubt_about_image(existing.image.as_str(), &[&sidecar.image], UPSTREAM_PROXY)
    }
}

/// Whether a mount hides one of these files of the image.
fn hides(existing: &Container<'_>, programs: &[&str]) -> bool {
    let mut programs = programs.iter().map(|path| Directory::new(path));
    programs.any(|program| {
        let mut mounts = existing.mounts().iter();
        mounts.any(|mount| program.is_at_or_below(&Directory::new(mount.directory())))
    })
}

/// Whether the image of the container with this name, `azwi-proxy-init` or `azwi-proxy`, is one of `ours`, in any version, or
/// azure-workload-identity's.
#[must_use]
pub fn is_known_image(name: &str, image: &str, ours: &[&str]) -> bool {
    let upstream = if name == container::PROXY_INIT {
        UPSTREAM_REDIRECT
    } else {
        UPSTREAM_PROXY
    };
    doubt_about_image(image, ours, upstream).is_none()
}

/// Whether `proxy-init` redirects the address of IMDS, for every user but the proxy's.
fn has_usual_address(existing: &Container<'_>) -> bool {
    let usual = [
        (variable::METADATA_IP, metadata::ADDRESS.to_string()),
        (variable::METADATA_PORT, metadata::PORT.to_string()),
        (variable::PROXY_UID, container::PROXY_UID.to_string()),
    ];
    let mut usual = usual.iter();
    existing.has_no_env_from() && usual.all(|(name, value)| existing.sets_only(name, value))
}

/// `ours` are the configured images, the expected one first. Their tags and digests do not matter: a pod
/// may be older than the webhook.
fn doubt_about_image<'a>(
    image: &'a str,
    ours: &[&'a str],
    upstream: &'static str,
) -> Option<Doubt<'a>> {
    let repository = repository(image);
    // The images of one release are in the same repository folder.
    let is_beside = |it: &str| folder_of(it) == folder_of(image) && name_of(image) == upstream;
    let is_ours = |it: &&str| self::repository(it) == repository || is_beside(it);
    let is_ours = ours.iter().any(is_ours);
    let of_upstream = repository.strip_prefix(UPSTREAM_REGISTRY);
    let of_upstream = of_upstream.and_then(|it| it.strip_suffix(upstream));
    if is_ours || of_upstream.is_some_and(|path| path.ends_with(UPSTREAM_PATH)) {
        return None;
    }
    let expected = ours.first().copied().unwrap_or_default();
    let is_named_so = |it: &&str| name_of(it) == name_of(image);
    if ours.iter().any(is_named_so) || name_of(image) == upstream {
        return Some(Doubt::Registry { image, expected });
    }
    Some(Doubt::Image { image, expected })
}

/// An image without its tag and digest.
fn repository(image: &str) -> &str {
    let (image, _) = image.split_once('@').unwrap_or((image, ""));
    match image.rsplit_once(':') {
        // Otherwise the colon is before a registry's port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// The last part of an image's repository.
fn name_of(image: &str) -> &str {
    let repository = repository(image);
    repository
        .rsplit_once('/')
        .map_or(repository, |(_, name)| name)
}

/// All but the last part of an image's repository.
fn folder_of(image: &str) -> &str {
    let (folder, _) = repository(image).rsplit_once('/').unwrap_or_default();
    folder
}

/// The programs of our image and of azure-workload-identity's, which was a script once.
const PROXY_INIT_PROGRAMS: &[&str] = &["/proxy-init", "/bin/init-iptables.sh"];
const PROXY_PROGRAMS: &[&str] = &["/proxy"];
/// Names of azure-workload-identity's images. This project's image of `proxy-init` has the same name.
const UPSTREAM_REDIRECT: &str = "proxy-init";
const UPSTREAM_PROXY: &str = "proxy";
/// Its images are in `oss/azure/workload-identity` and `oss/v2/azure/workload-identity`.
const UPSTREAM_REGISTRY: &str = "mcr.microsoft.com/oss/";
const UPSTREAM_PATH: &str = "azure/workload-identity/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_repository_and_name_of_an_image() {
        for (image, expected, name) in [
            ("proxy", "proxy", "proxy"),
            ("proxy:v1", "proxy", "proxy"),
            ("r:5000/a/proxy", "r:5000/a/proxy", "proxy"),
            ("r:5000/a/proxy:v1@sha256:0", "r:5000/a/proxy", "proxy"),
            ("r/a/proxy-init@sha256:0", "r/a/proxy-init", "proxy-init"),
            ("", "", ""),
        ] {
            assert_eq!(repository(image), expected, "{image}");
            assert_eq!(name_of(image), name, "{image}");
        }
    }

    #[test]
    fn knows_configured_and_upstream_images_of_any_version() {
        let ours = ["registry.example.com/azwi/proxy:v2"];
        let doubt = |image| doubt_about_image(image, &ours, UPSTREAM_PROXY);
        for image in [
            "registry.example.com/azwi/proxy:v1",
            "registry.example.com/azwi/proxy@sha256:0",
            "mcr.microsoft.com/oss/azure/workload-identity/proxy:v1.5.0",
            "mcr.microsoft.com/oss/v2/azure/workload-identity/proxy:v1.6.0",
        ] {
            assert_eq!(doubt(image), None, "{image}");
        }
        for image in [
            "mirror.example.com/azwi/proxy:v2",
            "mcr.microsoft.com/oss/xazure/other/proxy",
        ] {
            assert!(matches!(doubt(image), Some(Doubt::Registry { .. })));
        }
        for image in ["", "busybox", "registry.example.com/azwi/proxy/x:v2"] {
            assert!(matches!(doubt(image), Some(Doubt::Image { .. })), "{image}");
        }
    }
}
