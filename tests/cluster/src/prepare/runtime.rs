//! What runs the containers, containerd and runc, built from their Go modules: Debian's are too old for user
//! namespaces and for the kubelet of today.

use std::path::PathBuf;

use anyhow::Result;

use super::log::Log;
use super::{Step, fingerprint, go};
use crate::cache::Cache;

const SOURCES: [(&str, &str); 2] = [
    ("go.mod", include_str!("../../runtime/go.mod")),
    ("go.sum", include_str!("../../runtime/go.sum")),
];

/// containerd without the parts that need C libraries, other file systems or services.
const TAGS: &str =
    "no_btrfs,no_devmapper,no_zfs,no_tracing,no_systemd,no_rdt,nri_no_wasm,seccomp,netgo,osusergo";

/// runc refuses to be used without a version.
const LINK_FLAGS: &str = "-s -w -X main.version=1.5.3";

const PROGRAMS: [&str; 4] = ["containerd", "containerd-shim-runc-v2", "ctr", "runc"];

/// The programs in one folder.
pub(super) struct Runtime {
    cache: Cache,
    folder: PathBuf,
}

impl Runtime {
    pub(super) fn new(cache: &Cache) -> Self {
        let [(_, module), (_, sums)] = SOURCES;
        let key = fingerprint(&[module, sums, TAGS, LINK_FLAGS]);
        Self {
            cache: cache.clone(),
            folder: cache.entry(&format!("runtime-{key}")),
        }
    }

    /// The folder, to be put into `PATH`.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }
}

impl Step for Runtime {
    fn title(&self) -> String {
        "building containerd and runc (once; 2 to 3 minutes on two cores)".to_owned()
    }

    fn is_done(&self) -> bool {
        PROGRAMS
            .iter()
            .all(|program| self.folder.join(program).is_file())
    }

    fn install(&self, log: &Log) -> Result<()> {
        let go = go::program(&self.cache, log)?;
        self.cache.fill(&self.folder, |folder| {
            let mut build = go::build(&go, folder, &SOURCES)?;
            log.run(build.args(["-tags", TAGS, "-ldflags", LINK_FLAGS, "-o", ".", "tool"]))
        })
    }
}
