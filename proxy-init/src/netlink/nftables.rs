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
//!     chain guard {
//!         type filter hook output priority filter; policy accept;
//!         ip daddr 169.254.169.254 tcp dport 80 tcp flags syn / fin,syn,rst,ack meta skuid 1501 accept
//!         ip daddr 169.254.169.254 tcp dport 80 tcp flags syn / fin,syn,rst,ack drop
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
//! There is no such rule, and no exception from the guard, if the proxy relays nothing.
//!
//! **The guard.** The kernel remembers a connection for two minutes that IMDS did not answer, or did not
//! close. It would treat a later one from the same port in the same way, whatever its user. So the guard
//! looks at the first packet of every connection that was not redirected. It also stops connections that
//! another program's rules bound before ours.
//!
//! **Announcements.** Every process that becomes the proxy's user would have that exemption. If there is a
//! key ([`contract::value::RelayKey`]), only connections that the proxy announces have it:
//!
//! ```text
//! set announced { type inet_service; size 65535; flags dynamic,timeout; timeout 1s }
//! chain announce {
//!     type filter hook output priority raw; policy accept;
//!     ip daddr 169.254.169.254 udp dport 80 meta skuid 1501 @th,64,128 KEY update @announced { @th,192,16 }
//!     ip daddr 169.254.169.254 udp dport 80 drop
//! }
//! output: … meta skuid 1501 tcp sport @announced dnat to 169.254.169.254:80
//! guard:  … meta skuid 1501 tcp sport @announced delete @announced { tcp sport } accept
//! ```
//!
//! The proxy binds a port, sends the key and the port, and connects. No other process has that port in
//! between, and the guard takes the port out of the set with the first packet. A datagram is dropped
//! before it reaches an interface, where a process with `NET_RAW` could read the key, and only a process
//! with `NET_ADMIN` can read the rule.
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

use crate::config::{Config, Exemption};

/// The table's name, family `ip`. No other table is changed.
pub const TABLE: &str = "azure-workload-identity";

struct Chain {
    name: &'static str,
    kind: &'static str,
    hook: u32,
    priority: i32,
    rules: &'static [Rule],
}

#[derive(Clone, Copy)]
enum Rule {
    Announce,
    DropAnnouncement,
    DropOther,
    Exempt,
    Pass,
    Redirect,
}

/// The subject of a message in the batch. The kernel answers each message, so a refusal shows which part
/// it does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The set of announced connections, or a rule that changes it.
    Announcement,
    /// The batch as a whole: nf_tables itself.
    Batch,
    /// A chain of type `nat`.
    Chain,
    /// The rule for the proxy's user: expression `nat`.
    Exemption,
    /// A rule of the guard.
    Guard,
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
        if is_announced(config) {
            batch.push(Part::Announcement, NEW_SET, CREATE, &announced());
        }
        for chain in chains(config) {
            batch.push(Part::Chain, NEW_CHAIN, CREATE, &chain.attributes());
        }
        for chain in chains(config) {
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
    let expected: Vec<_> = chains(config)
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

fn is_announced(config: &Config) -> bool {
    matches!(config.exemption, Exemption::Announced(_))
}

fn chains(config: &Config) -> impl Iterator<Item = &'static Chain> {
    let announce = is_announced(config).then_some(&ANNOUNCE);
    announce.into_iter().chain(&CHAINS)
}

/// The attributes of the set of announced source ports.
fn announced() -> Vec<u8> {
    [
        string(SET_TABLE, TABLE),
        string(SET_NAME, ANNOUNCED),
        number(SET_FLAGS, SET_WITH_TIMEOUT | SET_CHANGED_BY_RULES),
        number(SET_KEY_TYPE, INET_SERVICE),
        number(SET_KEY_LENGTH, 2),
        nested(SET_DESCRIPTION, &[number(SET_SIZE, u16::MAX.into())]),
        number(SET_ID, 1),
        attribute(SET_TIMEOUT, &ANNOUNCED_MILLISECONDS.to_be_bytes()),
    ]
    .concat()
}

impl Chain {
    fn rules(&self, config: &Config) -> impl Iterator<Item = &Rule> {
        let exempts = config.exemption != Exemption::Nothing;
        let rules = self.rules.iter();
        rules.filter(move |rule| exempts || !matches!(rule, Rule::Exempt | Rule::Pass))
    }

    fn attributes(&self) -> Vec<u8> {
        let hook = [
            number(HOOK_NUMBER, self.hook),
            number(HOOK_PRIORITY, self.priority.cast_unsigned()),
        ];
        [
            string(CHAIN_TABLE, TABLE),
            string(CHAIN_NAME, self.name),
            nested(CHAIN_HOOK, &hook),
            number(CHAIN_POLICY, ACCEPT),
            string(CHAIN_TYPE, self.kind),
        ]
        .concat()
    }
}

impl Rule {
    fn part(self) -> Part {
        match self {
            Self::Announce | Self::DropAnnouncement => Part::Announcement,
            Self::DropOther | Self::Pass => Part::Guard,
            Self::Exempt => Part::Exemption,
            Self::Redirect => Part::Redirect,
        }
    }

    fn expressions(self, config: &Config) -> Vec<Vec<u8>> {
        let address = config.metadata.ip().octets();
        let port = config.metadata.port().to_be_bytes();
        let protocol = match self {
            Self::Announce | Self::DropAnnouncement => UDP,
            Self::DropOther | Self::Exempt | Self::Pass | Self::Redirect => TCP,
        };
        let mut expressions = vec![
            load_meta(META_PROTOCOL),
            is_equal(&[protocol]),
            load_payload(NETWORK_HEADER, 16, 4), // the destination address
            is_equal(&address),
            load_payload(TRANSPORT_HEADER, 2, 2), // the destination port
            is_equal(&port),
        ];
        match self {
            Self::Announce => {
                expressions.extend(is_proxys(config));
                if let Exemption::Announced(key) = config.exemption {
                    expressions.extend([
                        load_payload(TRANSPORT_HEADER, UDP_HEADER, key.bytes().len() as u32),
                        is_equal(key.bytes()),
                        load_payload(TRANSPORT_HEADER, UDP_HEADER + key.bytes().len() as u32, 2),
                        change_announced(UPDATE),
                    ]);
                }
            }
            Self::DropAnnouncement => expressions.push(verdict(DROP)),
            Self::DropOther => {
                expressions.extend(is_first_packet());
                expressions.push(verdict(DROP));
            }
            Self::Exempt => {
                expressions.extend(is_proxys(config));
                expressions.extend(has_announced_port(config));
                expressions.extend(keep_destination(&address, &port));
            }
            Self::Pass => {
                expressions.extend(is_first_packet());
                expressions.extend(is_proxys(config));
                expressions.extend(has_announced_port(config));
                expressions.extend(is_announced(config).then(|| change_announced(DELETE)));
                expressions.push(verdict(ACCEPT));
            }
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

/// Binds the connection to the destination that it has.
fn keep_destination(address: &[u8], port: &[u8]) -> [Vec<u8>; 3] {
    [
        load(REGISTER_1, address),
        load(REGISTER_2, port),
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
    ]
}

/// Ends the rule unless the packet is of the proxy's user.
fn is_proxys(config: &Config) -> [Vec<u8>; 2] {
    [
        load_meta(META_USER),
        is_equal(&config.proxy_uid.to_ne_bytes()),
    ]
}

/// Ends the rule unless the packet is the first one of a TCP connection.
fn is_first_packet() -> [Vec<u8>; 3] {
    let mask = |value: u8| nested(BITWISE_MASK, &[attribute(DATA_VALUE, &[value])]);
    let no_change = nested(BITWISE_XOR, &[attribute(DATA_VALUE, &[0])]);
    [
        load_payload(TRANSPORT_HEADER, TCP_FLAGS, 1),
        expression(
            "bitwise",
            &[
                number(BITWISE_SOURCE, REGISTER_1),
                number(BITWISE_DESTINATION, REGISTER_1),
                number(BITWISE_LENGTH, 1),
                mask(FIN | SYN | RST | ACK_FLAG),
                no_change,
            ],
        ),
        is_equal(&[SYN]),
    ]
}

/// Loads the source port into register 1, and ends the rule unless the proxy announced it. Nothing if it
/// need not.
fn has_announced_port(config: &Config) -> Vec<Vec<u8>> {
    if !is_announced(config) {
        return Vec::new();
    }
    let lookup = expression(
        "lookup",
        &[
            string(LOOKUP_SET, ANNOUNCED),
            number(LOOKUP_REGISTER, REGISTER_1),
        ],
    );
    vec![load_payload(TRANSPORT_HEADER, 0, 2), lookup]
}

/// Changes the set of announced ports by the port in register 1.
fn change_announced(operation: u32) -> Vec<u8> {
    expression(
        "dynset",
        &[
            number(CHANGE_REGISTER, REGISTER_1),
            number(CHANGE_OPERATION, operation),
            string(CHANGE_SET, ANNOUNCED),
        ],
    )
}

/// Ends the chain for the packet.
fn verdict(code: u32) -> Vec<u8> {
    let verdict = nested(DATA_VERDICT, &[number(VERDICT_CODE, code)]);
    expression(
        "immediate",
        &[
            number(IMMEDIATE_REGISTER, REGISTER_VERDICT),
            nested(IMMEDIATE_DATA, &[verdict]),
        ],
    )
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
const NEW_SET: u16 = libc::NFT_MSG_NEWSET as u16;
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
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
const SET_TIMEOUT: u16 = 11;
const SET_SIZE: u16 = 1;
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
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const BITWISE_SOURCE: u16 = 1;
const BITWISE_DESTINATION: u16 = 2;
const BITWISE_LENGTH: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const LOOKUP_SET: u16 = 1;
const LOOKUP_REGISTER: u16 = 2;
const CHANGE_SET: u16 = 1;
const CHANGE_OPERATION: u16 = 3;
const CHANGE_REGISTER: u16 = 4;
const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_ADDRESS_MIN: u16 = 3;
const NAT_ADDRESS_MAX: u16 = 4;
const NAT_PORT_MIN: u16 = 5;
const NAT_PORT_MAX: u16 = 6;
const REDIRECT_PORT_MIN: u16 = 1;
const REDIRECT_PORT_MAX: u16 = 2;

const ACCEPT: u32 = libc::NF_ACCEPT as u32;
const DROP: u32 = libc::NF_DROP as u32;
const DESTINATION: u32 = libc::NFT_NAT_DNAT as u32;
const EQUAL: u32 = libc::NFT_CMP_EQ as u32;
const META_PROTOCOL: u32 = libc::NFT_META_L4PROTO as u32;
const META_USER: u32 = libc::NFT_META_SKUID as u32;
const NETWORK_HEADER: u32 = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
const TRANSPORT_HEADER: u32 = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32;
const REGISTER_VERDICT: u32 = libc::NFT_REG_VERDICT as u32;
const REGISTER_1: u32 = libc::NFT_REG_1 as u32;
const REGISTER_2: u32 = libc::NFT_REG_2 as u32;
const SET_WITH_TIMEOUT: u32 = libc::NFT_SET_TIMEOUT as u32;
const SET_CHANGED_BY_RULES: u32 = libc::NFT_SET_EVAL as u32;
const UPDATE: u32 = libc::NFT_DYNSET_OP_UPDATE as u32;
/// `NFT_DYNSET_OP_DELETE`, since Linux 5.4.
const DELETE: u32 = 2;
/// `nft` lists keys of this type as ports.
const INET_SERVICE: u32 = 13;
const TCP: u8 = libc::IPPROTO_TCP as u8;
const UDP: u8 = libc::IPPROTO_UDP as u8;
/// Length of a UDP header.
const UDP_HEADER: u32 = 8;
/// The flags' place in a TCP header.
const TCP_FLAGS: u32 = 13;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK_FLAG: u8 = 0x10;

/// Before iptables, which redirects at `NF_IP_PRI_NAT_DST`.
const PRIORITY: i32 = libc::NF_IP_PRI_NAT_DST - 1;

/// The set of announced source ports.
const ANNOUNCED: &str = "announced";
/// The proxy connects at once. An announcement without a connection ends after this time.
const ANNOUNCED_MILLISECONDS: u64 = 1000;

/// Before connection tracking, so that an announcement leaves nothing behind.
const ANNOUNCE: Chain = Chain {
    name: "announce",
    kind: "filter",
    hook: libc::NF_INET_LOCAL_OUT as u32,
    priority: libc::NF_IP_PRI_RAW,
    rules: &[Rule::Announce, Rule::DropAnnouncement],
};

const CHAINS: [Chain; 3] = [
    Chain {
        name: "output",
        kind: "nat",
        hook: libc::NF_INET_LOCAL_OUT as u32,
        priority: PRIORITY,
        rules: &[Rule::Exempt, Rule::Redirect],
    },
    Chain {
        name: "prerouting",
        kind: "nat",
        hook: libc::NF_INET_PRE_ROUTING as u32,
        priority: PRIORITY,
        rules: &[Rule::Redirect],
    },
    Chain {
        name: "guard",
        kind: "filter",
        hook: libc::NF_INET_LOCAL_OUT as u32,
        // After every chain of type `nat`.
        priority: libc::NF_IP_PRI_FILTER,
        rules: &[Rule::Pass, Rule::DropOther],
    },
];

#[cfg(test)]
mod tests {
    use contract::value::RelayKey;

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

    fn announced_config(byte: u8) -> Config {
        Config {
            exemption: Exemption::Announced(RelayKey::new([byte; RelayKey::LENGTH])),
            ..config()
        }
    }

    #[test]
    fn accepts_the_rules_that_it_writes() {
        for config in [config(), announced_config(1)] {
            assert!(!differs(&listed(&config), &config));
        }
    }

    #[test]
    fn detects_another_key_or_none() {
        let config = announced_config(1);
        assert!(differs(&listed(&announced_config(2)), &config));
        assert!(differs(&listed(&self::config()), &config));
        assert!(differs(&listed(&config), &self::config()));
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
            ("an empty rule", vec![Vec::new(); 5]),
            ("another user", changed(|config| config.proxy_uid += 1)),
            (
                "no exemption",
                changed(|config| config.exemption = Exemption::Nothing),
            ),
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
