//! NetworkPolicies, as far as they say where pods may connect to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::Object;
use super::selector::Selector;

/// What was read of policies.
#[derive(Debug, Default)]
pub struct Policies {
    /// NetworkPolicies that isolate pods for egress.
    pub egress: Vec<Policy>,
    /// Namespaces with policies of other kinds, which may allow more. Empty text for the whole cluster.
    pub others: BTreeSet<String>,
}

/// A NetworkPolicy for egress.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub object: Object,
    selector: Selector,
    rules: Vec<Rule>,
}

impl Policies {
    /// The policies that isolate a pod with these labels, `None` where policies of other kinds may allow more.
    #[must_use]
    pub fn isolating(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Option<Vec<&Policy>> {
        if self.others.contains("") || self.others.contains(namespace) {
            return None;
        }
        let policies = self.egress.iter();
        let own = policies.filter(|it| it.object.namespace == namespace);
        Some(own.filter(|it| it.selector.matches(labels)).collect())
    }
}

impl Policy {
    /// A NetworkPolicy by its JSON, `None` when it is not about egress.
    pub(crate) fn read(raw: &RawValue) -> Result<Option<Self>, serde_json::Error> {
        let Wire { metadata, spec } = serde_json::from_str(raw.get())?;
        let types = spec.policy_types.unwrap_or_default();
        let rules = spec.egress.unwrap_or_default();
        // The API server fills in the types.
        let is_egress = types.iter().any(|it| it == "Egress");
        Ok(is_egress.then(|| Self {
            object: Object::new("NetworkPolicy", &metadata.namespace, &metadata.name),
            selector: spec.pod_selector,
            rules,
        }))
    }

    /// Whether a rule allows TCP connections to this port of some address in the internet.
    #[must_use]
    pub fn lets_out(&self, port: u16) -> bool {
        self.rules.iter().any(|it| it.lets_out(port))
    }
}

/// A rule. Without ports it allows all of them, without peers every address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    ports: Option<Vec<Port>>,
    to: Option<Vec<Peer>>,
}

impl Rule {
    fn lets_out(&self, port: u16) -> bool {
        let ports = self.ports.as_deref().unwrap_or_default();
        let peers = self.to.as_deref().unwrap_or_default();
        (ports.is_empty() || ports.iter().any(|it| it.includes(port)))
            && (peers.is_empty() || peers.iter().any(Peer::is_outside))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    protocol: Option<String>,
    port: Option<Number>,
    end_port: Option<u16>,
}

/// A port's number, or its name in the pods that are connected to.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u16),
    #[expect(dead_code, reason = "an address outside has no named port")]
    Name(String),
}

impl Port {
    fn includes(&self, port: u16) -> bool {
        let is_tcp = self.protocol.as_deref().is_none_or(|it| it == "TCP");
        is_tcp
            && match self.port {
                None => true,
                Some(Number::Number(first)) => {
                    (first..=self.end_port.unwrap_or(first)).contains(&port)
                }
                Some(Number::Name(_)) => false,
            }
    }
}

/// Addresses, or pods.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peer {
    ip_block: Option<Block>,
}

#[derive(Debug, Deserialize)]
struct Block {
    cidr: String,
}

impl Peer {
    fn is_outside(&self) -> bool {
        let block = self.ip_block.as_ref();
        block.is_some_and(|it| !is_private(&it.cidr))
    }
}

/// Whether all addresses of a range are private, shared, link-local or loopback ones (RFC 6890).
fn is_private(cidr: &str) -> bool {
    let Some((network, length)) = parsed(cidr) else {
        return false;
    };
    let mut ranges = PRIVATE.iter().filter_map(|it| parsed(it));
    ranges.any(|(range, bits)| {
        network.is_ipv4() == range.is_ipv4()
            && length >= bits
            && prefix(network, bits) == prefix(range, bits)
    })
}

/// The first bits of an address.
fn prefix(address: IpAddr, bits: u32) -> u128 {
    match address {
        IpAddr::V4(it) => u128::from(it.to_bits() >> (32 - bits)),
        IpAddr::V6(it) => it.to_bits() >> (128 - bits),
    }
}

fn parsed(cidr: &str) -> Option<(IpAddr, u32)> {
    let (network, length) = cidr.split_once('/')?;
    Some((network.parse().ok()?, length.parse().ok()?))
}

const PRIVATE: [&str; 8] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    pod_selector: Selector,
    policy_types: Option<Vec<String>>,
    egress: Option<Vec<Rule>>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(spec: &Value) -> Option<Policy> {
        let object = json!({ "metadata": { "namespace": "prod", "name": "a" }, "spec": spec });
        let raw: Box<RawValue> = serde_json::from_str(&object.to_string()).unwrap();
        Policy::read(&raw).unwrap()
    }

    fn lets_out(rule: Value) -> bool {
        let spec = json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] });
        policy(&spec).unwrap().lets_out(443)
    }

    #[test]
    fn a_rule_lets_out_by_port_protocol_and_address() {
        for (rule, expected) in [
            (json!({}), true),
            (json!({ "ports": [{ "port": 443 }] }), true),
            (json!({ "ports": [{ "protocol": "TCP" }] }), true),
            (
                json!({ "ports": [{ "port": 53 }, { "port": 1, "endPort": 65535 }] }),
                true,
            ),
            (
                json!({ "ports": [{ "port": 53, "protocol": "UDP" }] }),
                false,
            ),
            (
                json!({ "ports": [{ "port": 443, "protocol": "UDP" }] }),
                false,
            ),
            (json!({ "ports": [{ "port": "https" }] }), false),
            (
                json!({ "ports": [{ "port": 8000, "endPort": 9000 }] }),
                false,
            ),
            (json!({ "to": [{ "podSelector": {} }] }), false),
            (json!({ "to": [{ "namespaceSelector": {} }] }), false),
            (
                json!({ "to": [{ "ipBlock": { "cidr": "10.1.0.0/16" } }] }),
                false,
            ),
            (
                json!({ "to": [{ "ipBlock": { "cidr": "fd00::/8" } }] }),
                false,
            ),
            (
                json!({ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"] } }] }),
                true,
            ),
            (
                json!({ "to": [{ "ipBlock": { "cidr": "8.0.0.0/5" } }] }),
                true,
            ),
            (
                json!({ "to": [{ "ipBlock": { "cidr": "20.190.128.0/18" } }], "ports": [{ "port": 443 }] }),
                true,
            ),
            (
                json!({ "to": [{ "ipBlock": { "cidr": "20.190.128.0/18" } }], "ports": [{ "port": 80 }] }),
                false,
            ),
        ] {
            assert_eq!(lets_out(rule.clone()), expected, "{rule}");
        }
    }

    #[test]
    fn only_policies_for_egress_isolate_and_only_the_pods_that_they_select() {
        let ingress = json!({ "podSelector": {}, "policyTypes": ["Ingress"] });
        assert!(policy(&ingress).is_none());
        let denied = json!({ "podSelector": { "matchLabels": { "app": "shop" } }, "policyTypes": ["Egress"] });
        let mut policies = Policies {
            egress: policy(&denied).into_iter().collect(),
            ..Policies::default()
        };
        assert!(!policies.egress[0].lets_out(443));
        let labels = |app: &str| BTreeMap::from([("app".to_owned(), app.to_owned())]);
        let isolating = |it: &Policies, namespace, app| {
            it.isolating(namespace, &labels(app)).map(|it| it.len())
        };
        assert_eq!(isolating(&policies, "prod", "shop"), Some(1));
        assert_eq!(isolating(&policies, "prod", "other"), Some(0));
        assert_eq!(isolating(&policies, "dev", "shop"), Some(0));
        policies.others.insert("prod".to_owned());
        assert_eq!(isolating(&policies, "prod", "shop"), None);
        assert_eq!(isolating(&policies, "dev", "shop"), Some(0));
        policies.others.insert(String::new());
        assert_eq!(isolating(&policies, "dev", "shop"), None);
    }
}
