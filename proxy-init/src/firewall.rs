//! Writes the rules: with nf_tables, or with the image's iptables where the kernel has not got it.

use std::fmt;

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::capability;
use crate::config::Config;
use crate::failure::Failure;
use crate::iptables;
use crate::netlink::nftables::{self, Batch, Part};
use crate::netlink::{NetlinkError, Socket};

/// What holds the rules.
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
            Self::Iptables(flavour) => write!(f, "{flavour}, for want of nf_tables"),
        }
    }
}

/// Replaces our rules in this network namespace, touching nobody else's.
///
/// # Errors
/// The rules are not in force.
pub fn write(config: &Config) -> Result<Firewall, Failure> {
    match write_nftables(config) {
        Ok(()) => Ok(Firewall::NfTables),
        Err(lacking @ (Failure::NoNfTables(_) | Failure::NoExpression { .. })) => {
            match iptables::write(config) {
                Ok(flavour) => Ok(Firewall::Iptables(flavour)),
                Err(iptables::IptablesError::Absent) => Err(lacking),
                Err(error) => Err(Failure::Iptables {
                    lacking: Box::new(lacking),
                    error,
                }),
            }
        }
        Err(failure) => Err(failure),
    }
}

fn write_nftables(config: &Config) -> Result<(), Failure> {
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
    .map_err(|(error, part)| failure(error, part))?;
    // The kernel ignores attributes that it does not know: what it lists is what it does.
    let listed = Socket::open(SockProtocol::NetlinkNetFilter)
        .and_then(|socket| socket.list(&nftables::list_rules()))
        .map_err(|error| failure(error, Part::Batch))?;
    if nftables::differs(&listed, config) {
        return Err(Failure::OtherRules);
    }
    Ok(())
}

impl Batch {
    /// Sends the batch over a socket of its own: the kernel answers every message of a batch that
    /// it refuses, and those answers must not be taken for another batch's.
    fn send(&self) -> Result<(), (NetlinkError, Part)> {
        Socket::open(SockProtocol::NetlinkNetFilter)
            .and_then(|socket| socket.request(&self.bytes, self.parts.len()))
            .map_err(|error| (error, self.part(error)))
    }

    /// What the kernel refused.
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

/// What a refusal of nf_tables means.
fn failure(error: NetlinkError, part: Part) -> Failure {
    use Errno::{EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, EPROTONOSUPPORT};
    match error {
        NetlinkError::Open(EPROTONOSUPPORT | EAFNOSUPPORT) => Failure::NoNfTables(error),
        NetlinkError::Open(EPERM | EACCES | ENOSYS)
        | NetlinkError::Send(EPERM | EACCES | ENOSYS) => Failure::Forbidden(error),
        NetlinkError::Refused { errno: EPERM, .. } if !capability::has_net_admin() => {
            Failure::NoCapability
        }
        NetlinkError::Refused {
            errno: EPERM | EACCES,
            ..
        } => Failure::Forbidden(error),
        NetlinkError::Refused {
            errno: ENOENT | EOPNOTSUPP | EAFNOSUPPORT,
            ..
        } => match part {
            Part::Batch | Part::Table => Failure::NoNfTables(error),
            Part::Chain => Failure::NoExpression {
                module: "nft_chain_nat",
            },
            Part::Exemption => Failure::NoExpression { module: "nft_nat" },
            Part::Redirect => Failure::NoExpression {
                module: "nft_redir",
            },
        },
        _ => Failure::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sequence: u32, errno: Errno) -> Failure {
        let config = Config::from_environment(|_| None).unwrap();
        let error = NetlinkError::Refused { sequence, errno };
        failure(error, Batch::replacing(&config).part(error))
    }

    #[test]
    fn the_refused_message_tells_what_the_kernel_has_not_got() {
        for (sequence, module) in [
            (4, "nft_chain_nat"),
            (5, "nft_chain_nat"),
            (6, "nft_nat"),
            (7, "nft_redir"),
            (8, "nft_redir"),
        ] {
            let failure = refused(sequence, Errno::ENOENT);
            assert_eq!(failure.code(), 12, "{failure}");
            assert!(
                failure.to_string().contains(module),
                "{sequence}: {failure}"
            );
        }
        for sequence in [0, 1] {
            assert_eq!(refused(sequence, Errno::EOPNOTSUPP).code(), 11);
        }
        assert_eq!(refused(99, Errno::EOPNOTSUPP).code(), 11);
    }

    #[test]
    fn a_socket_that_is_refused_is_not_a_missing_capability() {
        for errno in [Errno::EPERM, Errno::EACCES, Errno::ENOSYS] {
            assert_eq!(failure(NetlinkError::Open(errno), Part::Batch).code(), 15);
        }
        assert_eq!(
            failure(NetlinkError::Open(Errno::EPROTONOSUPPORT), Part::Batch).code(),
            11
        );
    }

    #[test]
    fn what_nobody_thought_of_is_a_failure_too() {
        for error in [
            NetlinkError::Malformed,
            NetlinkError::Receive(Errno::EAGAIN),
            NetlinkError::Send(Errno::ENOBUFS),
            NetlinkError::Refused {
                sequence: 7,
                errno: Errno::EINVAL,
            },
        ] {
            assert_eq!(failure(error, Part::Redirect).code(), 17, "{error}");
        }
    }
}
