//! A resolver that returns a limited number of a name's addresses, in rotation.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Returns at most [`LIMIT`] addresses of each family, and the next ones at the next look-up.
///
/// hyper-util divides the connect timeout by the number of addresses of a family
/// (`ConnectingTcpRemote::new`). `login.microsoftonline.com` has eight, which leaves too little time for
/// each when the authority is far away.
#[derive(Clone, Debug, Default)]
pub(super) struct LimitedResolver {
    turn: Arc<AtomicUsize>,
}

impl LimitedResolver {
    /// Looks up `host`, and gives each address `port`.
    ///
    /// # Errors
    ///
    /// The name does not exist, or no name server answers.
    pub(super) async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
        Ok(limited(&found, self.turn.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Resolve for LimitedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // Port 0 means the port of the URL.
            let found = resolver.look_up(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The addresses of each family whose `turn` it is. The family that the system prefers comes first.
fn limited(found: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let prefers_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|address| address.is_ipv6() == prefers_v6);
    [preferred, other]
        .iter()
        .flat_map(|family: &Vec<SocketAddr>| {
            let start = turn.wrapping_mul(LIMIT).checked_rem(family.len());
            let from_there = family.iter().cycle().skip(start.unwrap_or_default());
            from_there.take(family.len().min(LIMIT))
        })
        .copied()
        .collect()
}

/// Addresses of a family that are tried within one connect timeout.
const LIMIT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(hosts: &[&str]) -> Vec<SocketAddr> {
        let parse = |host: &&str| SocketAddr::new(host.parse().unwrap(), 0);
        hosts.iter().map(parse).collect()
    }

    #[test]
    fn returns_the_next_addresses_at_each_look_up() {
        let found = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        for (turn, wanted) in [
            (0, ["10.0.0.1", "10.0.0.2"]),
            (1, ["10.0.0.3", "10.0.0.1"]),
            (2, ["10.0.0.2", "10.0.0.3"]),
            (3, ["10.0.0.1", "10.0.0.2"]),
        ] {
            assert_eq!(limited(&found, turn), addresses(&wanted), "{turn}");
        }
    }

    #[test]
    fn returns_both_families_and_the_preferred_one_first() {
        let found = addresses(&["fd00::1", "10.0.0.1", "fd00::2", "fd00::3", "10.0.0.2"]);
        let wanted = addresses(&["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(limited(&found, 0), wanted);
    }

    #[test]
    fn always_returns_a_single_address() {
        let found = addresses(&["10.0.0.1"]);
        for turn in [0, 1, usize::MAX] {
            assert_eq!(limited(&found, turn), found);
            assert_eq!(limited(&[], turn), []);
        }
    }
}
