//! Writes the rules: with nf_tables, or with the image's iptables if the kernel lacks it.

use std::fmt;

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::capability;
use crate::config::Config;
use crate::error::RedirectError;
use crate::iptables;
use crate::netlink::nftables::{self, Batch, Part};
use crate::netlink::{NetlinkError, Socket};

/// The firewall that holds the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// The table `ip azure-workload-identity`.
    NfTables,
    /// Chains in the table `nat`, written by this flavour of iptables.
    Iptables(&'static str),
}

impl fmt::Display for Firewall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NfTables => f.write_str("nf_tables"),
            Self::Iptables(flavour) => write!(f, "{flavour} because the kernel lacks nf_tables"),
        }
    }
}

/// Replaces our rules in this network namespace and changes no others.
///
/// # Errors
///
/// The rules are not in force.
pub fn write(config: &Config) -> Result<Firewall, RedirectError> {
    match write_nftables(config) {
        Ok(()) => Ok(Firewall::NfTables),
        Err(lacking @ (RedirectError::NoNfTables(_) | RedirectError::NoExpression { .. })) => {
            match iptables::write(config) {
                Ok(flavour) => Ok(Firewall::Iptables(flavour)),
                Err(iptables::IptablesError::Absent) => Err(lacking),
                Err(error) => Err(RedirectError::Iptables {
                    lacking: Box::new(lacking),
                    error,
                }),
            }
        }
        Err(error) => Err(error),
    }
}

fn write_nftables(config: &Config) -> Result<(), RedirectError> {
    let created = Batch::creating(config).send();
    if let Err((
        NetlinkError::Refused {
            errno: Errno::EEXIST,
            ..
        },
        Part::Table,
    )) = created
    {
        Batch::replacing(config).send()
    } else {
        created
    }
    .map_err(|(error, part)| redirect_error(error, part))?;
    // The kernel ignores attributes that it does not know, so only what it lists is in force.
    let listed = Socket::open(SockProtocol::NetlinkNetFilter)
        .and_then(|socket| socket.list(&nftables::list_rules()))
        .map_err(|error| redirect_error(error, Part::Batch))?;
    if nftables::differs(&listed, config) {
        return Err(RedirectError::OtherRules);
    }
    Ok(())
}

impl Batch {
    /// Sends the batch over a socket of its own. The kernel answers every message of a batch that it
    /// refuses, and those answers must not be mistaken for another batch's.
    fn send(&self) -> Result<(), (NetlinkError, Part)> {
        Socket::open(SockProtocol::NetlinkNetFilter)
            .and_then(|socket| socket.request(&self.bytes, self.parts.len()))
            .map_err(|error| (error, self.part(error)))
    }

    /// The part that the kernel refused.
    fn part(&self, error: NetlinkError) -> Part {
        let NetlinkError::Refused { sequence, .. } = error else {
            return Part::Batch;
        };
        (sequence as usize)
            .checked_sub(1)
            .and_then(|position| self.parts.get(position).copied())
            .unwrap_or(Part::Batch)
    }
}

/// The error for a refusal of nf_tables.
fn redirect_error(error: NetlinkError, part: Part) -> RedirectError {
    use Errno::{EACCES, EAFNOSUPPORT, EINVAL, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, EPROTONOSUPPORT};
    match error {
        NetlinkError::Open(EPROTONOSUPPORT | EAFNOSUPPORT) => RedirectError::NoNfTables(error),
        NetlinkError::Open(EPERM | EACCES | ENOSYS)
        | NetlinkError::Send(EPERM | EACCES | ENOSYS) => RedirectError::Forbidden(error),
        NetlinkError::Refused { errno: EPERM, .. } if !capability::has_net_admin() => {
            RedirectError::NoCapability
        }
        // The kernel looks at the sender's rights before it looks for the table.
        NetlinkError::Refused { errno: EPERM, .. } if part == Part::Table => {
            RedirectError::OwnedTable
        }
        NetlinkError::Refused {
            errno: EPERM | EACCES,
            ..
        } => RedirectError::Forbidden(error),
        NetlinkError::Refused {
            errno: EINVAL | EOPNOTSUPP,
            ..
        } if matches!(part, Part::Announcement | Part::Guard) => {
            RedirectError::NoAnnouncements(error)
        }
        NetlinkError::Refused {
            errno: ENOENT | EOPNOTSUPP | EAFNOSUPPORT,
            ..
        } => match part {
            Part::Batch | Part::Table => RedirectError::NoNfTables(error),
            Part::Chain => RedirectError::NoExpression {
                module: "nft_chain_nat",
            },
            Part::Announcement | Part::Guard => RedirectError::NoAnnouncements(error),
            Part::Exemption => RedirectError::NoExpression { module: "nft_nat" },
            Part::Redirect => RedirectError::NoExpression {
                module: "nft_redir",
            },
        },
        _ => RedirectError::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use contract::value::RelayKey;

    use super::*;
    use crate::config::Exemption;

    fn refused(sequence: u32, errno: Errno) -> RedirectError {
        let config = Config::from_environment(|_| None).unwrap();
        let error = NetlinkError::Refused { sequence, errno };
        redirect_error(error, Batch::replacing(&config).part(error))
    }

    #[test]
    fn the_refused_message_names_the_missing_module() {
        for (sequence, module) in [
            (4, "nft_chain_nat"),
            (5, "nft_chain_nat"),
            (7, "nft_nat"),
            (8, "nft_redir"),
            (9, "nft_redir"),
        ] {
            let error = refused(sequence, Errno::ENOENT);
            assert_eq!(error.code(), 12, "{error}");
            assert!(error.to_string().contains(module), "{sequence}: {error}");
        }
        for sequence in [0, 1] {
            assert_eq!(refused(sequence, Errno::EOPNOTSUPP).code(), 11);
        }
        assert_eq!(refused(99, Errno::EOPNOTSUPP).code(), 11);
    }

    #[test]
    fn a_kernel_without_sets_that_rules_change_names_the_policy_that_needs_none() {
        let key = RelayKey::new([1; RelayKey::LENGTH]);
        let config = Config {
            exemption: Exemption::Announced(key),
            ..Config::from_environment(|_| None).unwrap()
        };
        let batch = Batch::creating(&config);
        for (position, part) in batch.parts.iter().enumerate() {
            if ![Part::Announcement, Part::Guard].contains(part) {
                continue;
            }
            let error = NetlinkError::Refused {
                sequence: position as u32 + 1,
                errno: Errno::EOPNOTSUPP,
            };
            let error = redirect_error(error, batch.part(error));
            assert_eq!(error.code(), 12, "{error}");
            assert!(error.to_string().contains("AZWI_RELAY=deny"), "{error}");
        }
    }

    #[test]
    fn a_refused_socket_is_not_a_missing_capability() {
        for errno in [Errno::EPERM, Errno::EACCES, Errno::ENOSYS] {
            assert_eq!(
                redirect_error(NetlinkError::Open(errno), Part::Batch).code(),
                15
            );
        }
        assert_eq!(
            redirect_error(NetlinkError::Open(Errno::EPROTONOSUPPORT), Part::Batch).code(),
            11
        );
    }

    #[test]
    fn an_unexpected_error_is_a_failure() {
        for error in [
            NetlinkError::Malformed,
            NetlinkError::Receive(Errno::EAGAIN),
            NetlinkError::Send(Errno::ENOBUFS),
            NetlinkError::Refused {
                sequence: 7,
                errno: Errno::EINVAL,
            },
        ] {
            assert_eq!(redirect_error(error, Part::Redirect).code(), 17, "{error}");
        }
    }
}
