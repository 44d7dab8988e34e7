//! The reasons why the pod does not start, each with a sentence for the operator and an exit code.

use std::net::{Ipv4Addr, SocketAddrV4};

use service_kit::settings::ConfigurationError;

use crate::config::Config;
use crate::iptables::IptablesError;
use crate::netlink::{NetlinkError, nftables};
use crate::proof::ProofError;

/// Every exit code and what it means.
pub const EXIT_CODES: [(u8, &str); 11] = [
    (0, "the redirect is set up and proved"),
    (10, "the capability NET_ADMIN is missing"),
    (11, "the kernel has no nf_tables"),
    (12, "the kernel's nf_tables lacks NAT or redirects"),
    (13, "no route to the address of IMDS"),
    (14, "another program has the proxy's port"),
    (15, "a seccomp filter or a security module refuses netlink"),
    (
        16,
        "a connection to IMDS does not arrive at the proxy's port",
    ),
    (17, "the kernel refused the rules, or lists different ones"),
    (
        18,
        "the kernel has no nf_tables, and the image's iptables failed",
    ),
    (contract::EXIT_USAGE, "wrong configuration or arguments"),
];

/// Why the redirect is not in force.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// Wrong configuration.
    #[error("wrong configuration: {}", .0.mistakes().join("; "))]
    Configuration(#[from] ConfigurationError),

    /// A seccomp filter or a security module refuses. A missing capability is not the reason.
    #[error(
        "the container may not program the pod's network, and a missing capability NET_ADMIN is not \
        the reason ({0}): a seccomp profile, SELinux, AppArmor or the container runtime's sandbox \
        refuses it; allow netlink sockets for this container, for example with seccompProfile \
        RuntimeDefault"
    )]
    Forbidden(NetlinkError),

    /// iptables, the fallback, failed.
    #[error(
        "{lacking}; the image's iptables, tried instead, failed too ({error}); iptables-legacy \
         needs the capability NET_RAW besides NET_ADMIN"
    )]
    Iptables {
        /// Why iptables was tried.
        lacking: Box<Self>,
        /// The messages of iptables.
        error: IptablesError,
    },

    /// `CAP_NET_ADMIN` is missing.
    #[error(
        "the capability NET_ADMIN is missing: give the init container `runAsUser: 0` and \
         `capabilities: {{drop: [ALL], add: [NET_ADMIN]}}`; it needs neither more nor `privileged`"
    )]
    NoCapability,

    /// The kernel cannot take the proxy's announcements.
    #[error(
        "the kernel's nf_tables lacks sets that rules change ({0}), which Linux has since 5.4. The proxy \
        announces its connections to IMDS with them: use a newer kernel, or let the proxy relay nothing \
        ({relay}=deny, the chart's proxy.relay)",
        relay = contract::variable::RELAY
    )]
    NoAnnouncements(NetlinkError),

    /// The kernel lacks a part of nf_tables.
    #[error(
        "the kernel's nf_tables lacks a part that redirects: load the module {module} on the node \
         (modprobe {module})"
    )]
    NoExpression {
        /// The kernel module.
        module: &'static str,
    },

    /// The kernel lacks nf_tables.
    #[error(
        "the kernel has no nf_tables ({0}): load the modules nf_tables, nft_chain_nat, nft_nat and \
         nft_redir on the node, or add iptables to this image"
    )]
    NoNfTables(NetlinkError),

    /// The pod has no route to IMDS.
    #[error("no route to {address}, and it cannot be put on the interface lo: {cause}")]
    NoRoute {
        /// The address of IMDS.
        address: Ipv4Addr,
        /// The kernel's reason.
        cause: String,
    },

    /// Another program owns the table.
    #[error(
        "another program owns the table ip {}, made with nft's `flags owner`, and no other program can \
         change it: end that program, then `nft delete table ip {}` if the table is still there",
        nftables::TABLE,
        nftables::TABLE
    )]
    OwnedTable,

    /// The kernel lists rules that differ from the written ones.
    #[error(
        "the kernel lists rules in table ip {} that differ from the written ones: look at `nft list \
        ruleset` in the pod's network for another program that changes it",
        nftables::TABLE
    )]
    OtherRules,

    /// Another program has the proxy's port.
    #[error(
        "{proxy} is taken by {}, not by the proxy (user {proxy_uid}): give one of them another \
         port, the proxy's with the annotation {}",
        .owner.map_or_else(|| "another program".to_owned(), |uid| format!("a program of user {uid}")),
        contract::annotation::PROXY_SIDECAR_PORT
    )]
    PortTaken {
        /// The address of the proxy.
        proxy: SocketAddrV4,
        /// The user that may listen there.
        proxy_uid: u32,
        /// The user that listens there, if it is known.
        owner: Option<u32>,
    },

    /// The kernel refused the rules for another reason.
    #[error("the redirect cannot be written: {0}")]
    Refused(NetlinkError),

    /// A connection to IMDS did not arrive at the proxy.
    #[error(
        "a connection to {} does not arrive at {}: {error}. Other rules of the pod's network come \
         first (see `nft list ruleset`), or its network plugin handles the address itself. The pod \
         must not start: it would get the node's identity",
        .config.metadata, .config.proxy()
    )]
    Unproved {
        /// The configuration of the redirect.
        config: Config,
        /// Why the proof failed.
        error: ProofError,
    },
}

impl RedirectError {
    /// The error for a proof that failed.
    pub(crate) fn unproved(config: &Config, error: ProofError) -> Self {
        match error {
            ProofError::PortTaken(owner) => Self::PortTaken {
                proxy: config.proxy(),
                proxy_uid: config.proxy_uid,
                owner,
            },
            error => Self::Unproved {
                config: *config,
                error,
            },
        }
    }

    /// The process's exit code, see [`EXIT_CODES`].
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::NoCapability => 10,
            Self::NoNfTables(_) => 11,
            Self::NoAnnouncements(_) | Self::NoExpression { .. } => 12,
            Self::NoRoute { .. } => 13,
            Self::PortTaken { .. } => 14,
            Self::Forbidden(_) => 15,
            Self::Unproved { .. } => 16,
            Self::OtherRules | Self::OwnedTable | Self::Refused(_) => 17,
            Self::Iptables { .. } => 18,
            Self::Configuration(_) => contract::EXIT_USAGE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_messages_lists_every_code_once() {
        let page = include_str!("../../docs/messages.md");
        let (_, section) = page.split_once("\n## proxy-init\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        for (code, meaning) in EXIT_CODES {
            assert_eq!(
                section.matches(&format!("</a>{code} | {meaning}")).count(),
                1,
                "{code}: {meaning}"
            );
        }
        assert_eq!(
            section.matches("\n| ").count(),
            EXIT_CODES.len() + 1,
            "and a heading"
        );
    }
}
