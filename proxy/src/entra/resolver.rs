//! Addresses of a name, a few at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Gives few of a name's addresses, and others the next time.
///
/// hyper-util divides the time for a connection by the number of addresses of a family
/// (`ConnectingTcpRemote::new`). `login.microsoftonline.com` has eight: with all of them none would
/// get long enough for an authority that is far away.
#[derive(Clone, Debug, Default)]
pub(super) struct Few {
    turn: Arc<AtomicUsize>,
}

impl Few {
    /// Looks up `host`, and gives each address `port`.
    ///
    /// # Errors
    /// There is no such name, or nobody to ask.
    pub(super) async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
        Ok(few(&found, self.turn.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Resolve for Few {
    fn resolve(&self, name: Name) -> Resolving {
        let few = self.clone();
        Box::pin(async move {
            // 0 stands for the port in the URL, or that of its scheme.
            let found = few.look_up(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Those of `found` whose `turn` it is, of each family. The family that the system prefers stays the
/// first.
fn few(found: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let prefers_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|address| address.is_ipv6() == prefers_v6);
    [preferred, other]
        .iter()
        .flat_map(|family: &Vec<SocketAddr>| {
            let start = turn.wrapping_mul(FEW).checked_rem(family.len());
            let from_there = family.iter().cycle().skip(start.unwrap_or_default());
            from_there.take(family.len().min(FEW))
        })
        .copied()
        .collect()
}

/// How many of a family are tried within one connection's time.
const FEW: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(hosts: &[&str]) -> Vec<SocketAddr> {
        let parse = |host: &&str| SocketAddr::new(host.parse().unwrap(), 0);
        hosts.iter().map(parse).collect()
    }

    #[test]
    fn of_many_addresses_others_are_given_each_time() {
        let found = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        for (turn, wanted) in [
            (0, ["10.0.0.1", "10.0.0.2"]),
            (1, ["10.0.0.3", "10.0.0.1"]),
            (2, ["10.0.0.2", "10.0.0.3"]),
            (3, ["10.0.0.1", "10.0.0.2"]),
        ] {
            assert_eq!(few(&found, turn), addresses(&wanted), "{turn}");
        }
    }

    #[test]
    fn each_family_gives_some_and_the_preferred_one_goes_first() {
        let found = addresses(&["fd00::1", "10.0.0.1", "fd00::2", "fd00::3", "10.0.0.2"]);
        let wanted = addresses(&["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(few(&found, 0), wanted);
    }

    #[test]
    fn one_address_is_given_always_and_none_never() {
        let found = addresses(&["10.0.0.1"]);
        for turn in [0, 1, usize::MAX] {
            assert_eq!(few(&found, turn), found);
            assert_eq!(few(&[], turn), []);
        }
    }
}
