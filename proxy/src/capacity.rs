//! How much the proxy does at once, so that it keeps below its limits of memory and open files, and a token
//! in memory is served whatever else is under way (law 4).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Numbers that follow the limit on open files. Each connection, relay and exchange has one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Connections of applications.
    pub connections: usize,
    /// Requests that are relayed at once. Each may hold its connection for minutes.
    pub relays: usize,
    /// Connections to the metrics' port.
    pub scrapes: usize,
    /// Requests that wait for Entra at once. Exchanges for new keys have a bound of their own, [`MAX_QUEUE`].
    ///
    /// [`MAX_QUEUE`]: crate::token::MAX_QUEUE
    pub waiting: usize,
}

impl Capacity {
    /// The capacity within this process's limit on open files, which it raises as far as it may and needs.
    #[must_use]
    pub fn detect() -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((ENOUGH, ENOUGH));
        let wanted = hard.min(ENOUGH);
        let is_raised = soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
        Self::of(if is_raised { wanted } else { soft })
    }

    /// The capacity with so many open files.
    #[must_use]
    pub fn of(files: u64) -> Self {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let connections = (files.saturating_sub(OTHER_FILES) / 4 * 3).clamp(4, MAX_CONNECTIONS);
        let relays = (connections / 7).clamp(1, MAX_RELAYS);
        Self {
            connections,
            relays,
            scrapes: (connections / 16).clamp(1, MAX_SCRAPES),
            // The rest is for requests that are served from memory.
            waiting: connections - relays - connections.div_ceil(30),
        }
    }
}

/// A thousand first calls have room. Bounds the memory of connections: each that is in use has two buffers of some
/// 8 KiB, and the one for reading grows to the limit on heads.
pub const MAX_CONNECTIONS: usize = 1_200;

/// Applications have a few. The first call for scheduled events may take two minutes.
const MAX_RELAYS: usize = 64;

/// A slow reader keeps a whole answer in memory.
const MAX_SCRAPES: usize = 16;

/// Exchanges, name resolution, the token file, listeners, the runtime and the standard streams.
const OTHER_FILES: usize = 48;

/// Open files for [`MAX_CONNECTIONS`] and everything else.
const ENOUGH: u64 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_below_the_limit_on_open_files() {
        for files in 56..3000 {
            let it = Capacity::of(files);
            let all = it.connections + it.relays + it.scrapes + OTHER_FILES;
            assert!(all as u64 <= files, "{files}: {it:?}");
        }
        assert_eq!(Capacity::of(ENOUGH).connections, MAX_CONNECTIONS);
        assert_eq!(Capacity::of(u64::MAX), Capacity::of(ENOUGH));
    }

    #[test]
    fn leaves_connections_for_tokens_in_memory() {
        for files in 0..3000 {
            let it = Capacity::of(files);
            assert!(it.relays > 0 && it.waiting > 0 && it.scrapes > 0, "{it:?}");
            assert!(it.relays + it.waiting < it.connections, "{files}: {it:?}");
        }
    }
}
