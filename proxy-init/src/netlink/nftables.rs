//! The rule set as nf_tables messages: pure bytes, no I/O.
//!
//! In the words of `nft`:
//!
//! ```text
//! table ip azure-workload-identity {
//!     chain output {
//!         type nat hook output priority -101; policy accept;
//!         ip daddr 169.254.169.254 tcp dport 80 meta skuid 1501 dnat to 169.254.169.254:80
//!         ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
//!     }
//!     chain prerouting {
//!         type nat hook prerouting priority -101; policy accept;
//!         ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
//!     }
//! }
//! ```
//!
//! **Priority.** The first NAT chain that binds a connection decides, and no later one sees it.
//! Meshes redirect with iptables at -100. At -101 the application's request goes to the proxy and not to
//! the mesh.
//!
//! **The proxy's own connections** get the destination that they already have. This binds the
//! connection, so that no mesh redirects it. A mesh would send it through its own proxy, whose
//! connection to IMDS is redirected to ours again, without end.
//!
//! There is no such rule if the proxy relays nothing.
//!
//! **Prerouting** is for connections from a network namespace inside the pod (Docker in Docker). They
//! are forwarded and do not pass the output hook. The redirect sends them to the pod's own address,
//! where nothing answers, because the proxy listens only on 127.0.0.1. Without this rule they would
//! reach the node's identity.
//!
//! Layout: `linux/netfilter/nf_tables.h`.

use super::wire::{
    ACK, APPEND, CREATE, DUMP, EXCLUSIVE, REQUEST, attribute, message, nested, number, string,
};
use nix::libc;

use crate::config::Config;

/// The table's name, family `ip`. No other table is changed.
pub const TABLE: &str = "azure-workload-identity";

struct Chain {
    name: &'static str,
    hook: u32,
    rules: &'static [Rule],
}

#[derive(Clone, Copy)]
enum Rule {
    Exempt,
    Redirect,
}

/// The subject of a message in the batch. The kernel answers each message, so a refusal shows which part
/// it does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The batch as a whole: nf_tables itself.
    Batch,
    /// A chain of type `nat`.
    Chain,
    /// The rule for the proxy's user: expression `nat`.
    Exemption,
    /// A rule with the expression `redir`.
    Redirect,
    /// The table.
    Table,
}

/// Messages that the kernel applies as one transaction.
#[derive(Debug)]
pub struct Batch {
    /// The bytes to send.
    pub bytes: Vec<u8>,
    /// The messages that the kernel acknowledges. The one at position `n` has the number `n + 1`.
    pub parts: Vec<Part>,
}

impl Batch {
    /// The transaction for a network without our table. The kernel refuses it with `EEXIST` if there is
    /// one.
    ///
    /// [`Batch::replacing`] has the same result, but the kernel takes some 10 ms to delete a table.
    #[must_use]
    pub fn creating(config: &Config) -> Self {
        Self::new(config, &[(NEW_TABLE, CREATE | EXCLUSIVE)])
    }

    /// The transaction that leaves exactly the rule set of this module, whatever the table held. It
    /// creates the table, so that there is one, deletes it, and creates it again.
    #[must_use]
    pub fn replacing(config: &Config) -> Self {
        Self::new(
            config,
            &[
                (NEW_TABLE, CREATE),
                (DELETE_TABLE, 0),
                (NEW_TABLE, CREATE | EXCLUSIVE),
            ],
        )
    }

    fn new(config: &Config, table: &[(u16, u16)]) -> Self {
        let mut batch = Self {
            bytes: batch_mark(BATCH_BEGIN),
            parts: Vec::new(),
        };
        for (kind, flags) in table {
            batch.push(Part::Table, *kind, *flags, &string(TABLE_NAME, TABLE));
        }
        for chain in &CHAINS {
            batch.push(Part::Chain, NEW_CHAIN, CREATE, &chain.attributes());
        }
        for chain in &CHAINS {
            for rule in chain.rules(config) {
                let attributes = [
                    string(RULE_TABLE, TABLE),
                    string(RULE_CHAIN, chain.name),
                    nested(RULE_EXPRESSIONS, &rule.expressions(config)),
                ]
                .concat();
                batch.push(rule.part(), NEW_RULE, CREATE | APPEND, &attributes);
            }
        }
        batch.bytes.extend(batch_mark(BATCH_END));
        batch
    }

    fn push(&mut self, part: Part, kind: u16, flags: u16, attributes: &[u8]) {
        self.parts.push(part);
        self.bytes.extend(message(
            NF_TABLES | kind,
            REQUEST | ACK | flags,
            self.parts.len() as u32,
            &[&family_header(FAMILY_IPV4, 0)[..], attributes].concat(),
        ));
    }
}

/// The request for all rules of the table, chain by chain in the order of [`differs`].
#[must_use]
pub fn list_rules() -> Vec<u8> {
    message(
        NF_TABLES | GET_RULE,
        REQUEST | DUMP,
        1,
        &[
            &family_header(FAMILY_IPV4, 0)[..],
            &string(RULE_TABLE, TABLE),
        ]
        .concat(),
    )
}

/// Whether the rules that the kernel lists (the bodies of its messages) differ from those that
/// [`Batch::replacing`] writes for `config`.
#[must_use]
pub fn differs(listed: &[Vec<u8>], config: &Config) -> bool {
    let expected: Vec<_> = CHAINS
        .iter()
        .flat_map(|chain| chain.rules(config).map(move |rule| (chain, rule)))
        .map(|(chain, rule)| {
            [
                string(RULE_TABLE, TABLE),
                string(RULE_CHAIN, chain.name),
                nested(RULE_EXPRESSIONS, &rule.expressions(config)),
            ]
            .concat()
        })
        .collect();
    listed.len() != expected.len()
        || !expected.iter().zip(listed).all(|(expected, body)| {
            body.get(FAMILY_HEADER..)
                .is_some_and(|found| super::wire::contains(found, expected))
        })
}

impl Chain {
    fn rules(&self, config: &Config) -> impl Iterator<Item = &Rule> {
        let exempts = config.relays;
        let rules = self.rules.iter();
        rules.filter(move |rule| exempts || !matches!(rule, Rule::Exempt))
    }

    fn attributes(&self) -> Vec<u8> {
        let hook = [
            number(HOOK_NUMBER, self.hook),
            number(HOOK_PRIORITY, PRIORITY.cast_unsigned()),
        ];
        [
            string(CHAIN_TABLE, TABLE),
            string(CHAIN_NAME, self.name),
            nested(CHAIN_HOOK, &hook),
            number(CHAIN_POLICY, ACCEPT),
            string(CHAIN_TYPE, "nat"),
        ]
        .concat()
    }
}

impl Rule {
    fn part(self) -> Part {
        match self {
            Self::Exempt => Part::Exemption,
            Self::Redirect => Part::Redirect,
        }
    }

    fn expressions(self, config: &Config) -> Vec<Vec<u8>> {
        let address = config.metadata.ip().octets();
        let port = config.metadata.port().to_be_bytes();
        let mut expressions = vec![
            load_meta(META_PROTOCOL),
            is_equal(&[TCP]),
            load_payload(NETWORK_HEADER, 16, 4), // the destination address
            is_equal(&address),
            load_payload(TRANSPORT_HEADER, 2, 2), // the destination port
            is_equal(&port),
        ];
        match self {
            Self::Exempt => expressions.extend([
                load_meta(META_USER),
                is_equal(&config.proxy_uid.to_ne_bytes()),
                load(REGISTER_1, &address),
                load(REGISTER_2, &port),
                expression(
                    "nat",
                    &[
                        number(NAT_TYPE, DESTINATION),
                        number(NAT_FAMILY, FAMILY_IPV4.into()),
                        number(NAT_ADDRESS_MIN, REGISTER_1),
                        number(NAT_ADDRESS_MAX, REGISTER_1),
                        number(NAT_PORT_MIN, REGISTER_2),
                        number(NAT_PORT_MAX, REGISTER_2),
                    ],
                ),
            ]),
            Self::Redirect => expressions.extend([
                load(REGISTER_1, &config.proxy_port.to_be_bytes()),
                expression(
                    "redir",
                    &[
                        number(REDIRECT_PORT_MIN, REGISTER_1),
                        number(REDIRECT_PORT_MAX, REGISTER_1),
                    ],
                ),
            ]),
        }
        expressions
    }
}

/// Loads a fact about the packet or its socket into register 1.
fn load_meta(key: u32) -> Vec<u8> {
    expression(
        "meta",
        &[number(META_KEY, key), number(META_REGISTER, REGISTER_1)],
    )
}

/// Loads bytes of the packet into register 1.
fn load_payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    expression(
        "payload",
        &[
            number(PAYLOAD_REGISTER, REGISTER_1),
            number(PAYLOAD_BASE, base),
            number(PAYLOAD_OFFSET, offset),
            number(PAYLOAD_LENGTH, length),
        ],
    )
}

/// Loads a value into a register.
fn load(register: u32, value: &[u8]) -> Vec<u8> {
    expression(
        "immediate",
        &[
            number(IMMEDIATE_REGISTER, register),
            nested(IMMEDIATE_DATA, &[attribute(DATA_VALUE, value)]),
        ],
    )
}

/// Ends the rule unless register 1 holds `value`.
fn is_equal(value: &[u8]) -> Vec<u8> {
    expression(
        "cmp",
        &[
            number(COMPARE_REGISTER, REGISTER_1),
            number(COMPARE_OPERATION, EQUAL),
            nested(COMPARE_DATA, &[attribute(DATA_VALUE, value)]),
        ],
    )
}

fn expression(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    nested(
        LIST_ELEMENT,
        &[
            string(EXPRESSION_NAME, name),
            nested(EXPRESSION_DATA, attributes),
        ],
    )
}

fn batch_mark(kind: u16) -> Vec<u8> {
    message(kind, REQUEST, 0, &family_header(0, NF_TABLES >> 8))
}

/// `struct nfgenmsg`: family, version, resource.
fn family_header(family: u8, resource: u16) -> [u8; FAMILY_HEADER] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

const FAMILY_HEADER: usize = 4;
const FAMILY_IPV4: u8 = libc::NFPROTO_IPV4 as u8;

const BATCH_BEGIN: u16 = libc::NFNL_MSG_BATCH_BEGIN as u16;
const BATCH_END: u16 = libc::NFNL_MSG_BATCH_END as u16;
const NF_TABLES: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;
const NEW_TABLE: u16 = libc::NFT_MSG_NEWTABLE as u16;
const DELETE_TABLE: u16 = libc::NFT_MSG_DELTABLE as u16;
const NEW_CHAIN: u16 = libc::NFT_MSG_NEWCHAIN as u16;
const NEW_RULE: u16 = libc::NFT_MSG_NEWRULE as u16;
const GET_RULE: u16 = libc::NFT_MSG_GETRULE as u16;

// The kinds of attributes, which libc does not have: `NFTA_…` in linux/netfilter/nf_tables.h.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const META_REGISTER: u16 = 1;
const META_KEY: u16 = 2;
const PAYLOAD_REGISTER: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const IMMEDIATE_REGISTER: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const COMPARE_REGISTER: u16 = 1;
const COMPARE_OPERATION: u16 = 2;
const COMPARE_DATA: u16 = 3;
const DATA_VALUE: u16 = 1;
const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_ADDRESS_MIN: u16 = 3;
const NAT_ADDRESS_MAX: u16 = 4;
const NAT_PORT_MIN: u16 = 5;
const NAT_PORT_MAX: u16 = 6;
const REDIRECT_PORT_MIN: u16 = 1;
const REDIRECT_PORT_MAX: u16 = 2;

const ACCEPT: u32 = libc::NF_ACCEPT as u32;
const DESTINATION: u32 = libc::NFT_NAT_DNAT as u32;
const EQUAL: u32 = libc::NFT_CMP_EQ as u32;
const META_PROTOCOL: u32 = libc::NFT_META_L4PROTO as u32;
const META_USER: u32 = libc::NFT_META_SKUID as u32;
const NETWORK_HEADER: u32 = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
const TRANSPORT_HEADER: u32 = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32;
const REGISTER_1: u32 = libc::NFT_REG_1 as u32;
const REGISTER_2: u32 = libc::NFT_REG_2 as u32;
const TCP: u8 = libc::IPPROTO_TCP as u8;

/// Before iptables, which redirects at `NF_IP_PRI_NAT_DST`.
const PRIORITY: i32 = libc::NF_IP_PRI_NAT_DST - 1;

const CHAINS: [Chain; 2] = [
    Chain {
        name: "output",
        hook: libc::NF_INET_LOCAL_OUT as u32,
        rules: &[Rule::Exempt, Rule::Redirect],
    },
    Chain {
        name: "prerouting",
        hook: libc::NF_INET_PRE_ROUTING as u32,
        rules: &[Rule::Redirect],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::wire::messages;

    fn config() -> Config {
        Config::from_environment(|_| None).unwrap()
    }

    /// The rules as the kernel lists them: with attributes of its own.
    fn listed(config: &Config) -> Vec<Vec<u8>> {
        let batch = Batch::replacing(config);
        messages(&batch.bytes)
            .unwrap()
            .iter()
            .filter(|message| message.kind == NF_TABLES | NEW_RULE)
            .map(|message| [message.body, &attribute(3, &[0; 8])].concat())
            .collect()
    }

    #[test]
    fn accepts_the_rules_that_it_writes() {
        assert!(!differs(&listed(&config()), &config()));
    }

    #[test]
    fn detects_any_other_list() {
        let changed = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            listed(&config)
        };
        let mut swapped = listed(&config());
        swapped.swap(0, 1);
        let doubled = [listed(&config()), listed(&config())].concat();
        for (what, list) in [
            ("none", Vec::new()),
            ("too few", listed(&config())[1..].to_vec()),
            ("doubled", doubled),
            ("another order", swapped),
            ("an empty rule", vec![Vec::new(); 3]),
            ("another user", changed(|config| config.proxy_uid += 1)),
            ("no exemption", changed(|config| config.relays = false)),
            ("another port", changed(|config| config.proxy_port += 1)),
            (
                "another address",
                changed(|config| config.metadata.set_ip([192, 0, 2, 1].into())),
            ),
            (
                "another port of IMDS",
                changed(|config| config.metadata.set_port(81)),
            ),
        ] {
            assert!(differs(&list, &config()), "{what}");
        }
    }
}
