//! The place of a volume in a container: where it is mounted already, or a directory in which a mount
//! neither hides a mount of the container's nor is hidden by one.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::inject::feedback::denial::Shown;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::directory::Directory;
use crate::inject::input::pod::{Container, Pod, VolumeMount as Mount};
use crate::inject::output::manifest::{Projected, Source, Value, Volume, VolumeMount};

/// A file that containers read, in a volume of the pod's or a new one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Provided<'a> {
    pub(crate) volume: Cow<'a, str>,
    /// `None` if the pod has the volume.
    pub(crate) new: Option<Source<'a>>,
    /// The file's path in the volume.
    pub(crate) file: &'a str,
    /// The file's path in most containers, for a usual `file`.
    pub(crate) usual_path: &'static str,
    /// Where the volume is mounted, in order of preference.
    pub(crate) directories: &'static [&'static str],
    /// The file, in a sentence about a container.
    pub(crate) subject: &'static str,
    /// The variable with the file's path.
    pub(crate) variable: &'static str,
}

/// A volume's place in a container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placed<'a> {
    /// `None` if the volume is mounted already, or there is no place for it.
    pub(crate) mount: Option<VolumeMount<'a>>,
    /// The file's path, empty if there is no place for the volume.
    pub(crate) file: Value<'a>,
}

impl Provided<'_> {
    /// The volume, if the pod lacks it.
    pub(crate) fn new_volume(&self) -> Option<Volume<'_>> {
        Some(Volume {
            name: &self.volume,
            projected: Projected {
                sources: [self.new?],
            },
        })
    }

    /// Finds a place in the container, and warns if it is not the usual one.
    pub(crate) fn place<'v>(
        &'v self,
        container: &'v Container<'_>,
        read_only: &ReadOnly<'_>,
        warnings: &mut Warnings,
    ) -> Placed<'v> {
        let is_free = |it: &&str| obstacle_at(it, container, read_only).is_none();
        if let Some(directory) = self.mounted_at(container) {
            let file = self.path_in(directory);
            self.warn_about_variable(container, &file, warnings);
            return Placed { mount: None, file };
        }
        if let Some(directory) = self.directory_of_variable(container).filter(is_free) {
            return self.at(directory);
        }
        let usual = self.directories.first().copied().unwrap_or_default();
        let Some(obstacle) = obstacle_at(usual, container, read_only) else {
            let placed = self.at(usual);
            self.warn_about_variable(container, &placed.file, warnings);
            return placed;
        };
        let others = self.directories.iter().skip(1).copied();
        let mut free = others.filter(is_free);
        let placed = match free.next() {
            Some(directory) => self.at(directory),
            None => Placed {
                mount: None,
                file: Value::Text(""),
            },
        };
        warnings.push(|| self.sentence(container, obstacle, &placed.file));
        placed
    }

    fn at(&self, directory: &'static str) -> Placed<'_> {
        Placed {
            mount: Some(VolumeMount {
                name: &self.volume,
                mount_path: directory,
                read_only: true,
            }),
            file: self.path_in(directory),
        }
    }

    fn path_in<'v>(&'v self, directory: &'v str) -> Value<'v> {
        let usual_file = self.usual_path.strip_prefix(directory);
        if usual_file.and_then(|it| it.strip_prefix('/')) == Some(self.file) {
            return Value::Text(self.usual_path);
        }
        Value::File {
            directory,
            file: self.file,
        }
    }

    /// The directory of a mount that shows the file. The kubelet never refreshes a sub path.
    fn mounted_at<'v>(&self, container: &'v Container<'_>) -> Option<&'v str> {
        let mounts = container.mounts().iter();
        let of_volume = mounts.filter(|it| it.name.as_str() == self.volume && it.is_whole());
        let directories = of_volume.map(Mount::directory);
        // Each is compared with all mounts, of which a review may have thousands. Ours may be the last one.
        let first = directories.clone().take(MAX_COMPARED);
        let ours = directories
            .skip(MAX_COMPARED)
            .filter(|it| self.directories.contains(it));
        let mut compared = first.chain(ours.take(MAX_COMPARED));
        compared.find(|it| !self.is_hidden(container, it))
    }

    /// Whether another mount hides the file in the volume at this directory.
    fn is_hidden(&self, container: &Container<'_>, directory: &str) -> bool {
        let top = Directory::new(directory);
        let file = top.join(self.file);
        let mut mounts = container.mounts().iter();
        mounts.any(|mount| {
            let other = Directory::new(mount.directory());
            other.is_below(&top) && file.is_at_or_below(&other)
        })
    }

    /// The directory in which the container's own variable looks for the file.
    fn directory_of_variable(&self, container: &Container<'_>) -> Option<&'static str> {
        let own = Directory::new(self.own_path(container)?);
        let mut directories = self.directories.iter().copied();
        directories.find(|it| Directory::new(it).join(self.file) == own)
    }

    /// The value of the container's own variable, if the pod shows it.
    fn own_path<'c>(&self, container: &'c Container<'_>) -> Option<&'c str> {
        let (_, path) = container.variable(self.variable)?;
        let path = path.trim();
        (!path.is_empty() && !path.contains("$(")).then_some(path)
    }

    /// Warns if the container's own variable names a file in no volume.
    fn warn_about_variable(
        &self,
        container: &Container<'_>,
        file: &Value<'_>,
        warnings: &mut Warnings,
    ) {
        let Some(own) = self.own_path(container) else {
            return;
        };
        let path = Directory::new(own);
        let mut mounts = container.mounts().iter();
        let is_mounted = mounts.any(|it| path.is_at_or_below(&Directory::new(it.directory())));
        if is_mounted || path == Directory::new(&file.to_string()) {
            return;
        }
        warnings.push(|| {
            format!(
                "container {} sets {} to {}, where no volume is mounted: {} is {file}. Remove the variable",
                container.name.as_str(),
                self.variable,
                Shown::new(own),
                self.subject
            )
        });
    }

    fn sentence(
        &self,
        container: &Container<'_>,
        obstacle: &Mount<'_>,
        file: &Value<'_>,
    ) -> String {
        let Self {
            subject, variable, ..
        } = self;
        let start = format!(
            "container {} mounts volume {} at {}",
            container.name.as_str(),
            obstacle.name.as_str(),
            obstacle.directory()
        );
        if file.is_empty() {
            format!(
                "{start}, and others wherever {subject} could be: it has none. Move one of them"
            )
        } else if container.sets(variable) {
            format!("{start}: {subject} is {file}, but the container sets {variable} itself")
        } else {
            format!("{start}: {subject} is {file}, as {variable} says")
        }
    }
}

/// The pod's volumes in which the runtime cannot make a directory to mount another volume at.
#[derive(Debug)]
pub(crate) struct ReadOnly<'a>(HashSet<&'a str>);

impl<'a> ReadOnly<'a> {
    pub(crate) fn find(pod: &'a Pod<'_>) -> Self {
        let volumes = pod.volumes().iter().filter(|it| it.is_read_only());
        Self(volumes.map(|it| it.name.as_str()).collect())
    }
}

/// The name, or with a number if a volume of the pod has it.
pub(crate) fn free_name<'a>(pod: &Pod<'_>, name: &'static str) -> Cow<'a, str> {
    let names = || pod.volumes().iter().map(|it| it.name.as_str());
    if !names().any(|it| it == name) {
        return Cow::Borrowed(name);
    }
    let taken: HashSet<_> = names().collect();
    let numbered = (1_u32..).map(|number| format!("{name}-{number}"));
    let mut free = numbered.filter(|it| !taken.contains(it.as_str()));
    free.next().map_or(Cow::Borrowed(name), Cow::Owned)
}

/// A mount of the container's that leaves no place for another one at this directory: at it, below it, or
/// above it in a volume that cannot be written to.
fn obstacle_at<'c, 'p>(
    directory: &str,
    container: &'c Container<'p>,
    read_only: &ReadOnly<'_>,
) -> Option<&'c Mount<'p>> {
    // The link /var/run is in /var.
    let is_in_var = directory.starts_with("/var/");
    let directory = Directory::new(directory);
    let var = Directory::new("/var");
    container.mounts().iter().find(|mount| {
        let other = Directory::new(mount.directory());
        let is_fixed = || mount.is_read_only() || read_only.0.contains(mount.name.as_str());
        let is_above = directory.is_below(&other) || (is_in_var && other == var);
        other.is_at_or_below(&directory) || (is_above && is_fixed())
    })
}

/// A container has a use for one mount of a volume, or a few.
const MAX_COMPARED: usize = 8;
