//! Reads policies about pods' connections.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reader::{Reader, Resource};
use crate::facts::network::{Policies, Policy};

/// The policies of one namespace or all. `None` when they could not be read.
pub(super) async fn read(reader: &mut Reader, namespace: Option<&str>) -> Option<Policies> {
    let mut policies = Policies::default();
    let add = |raw: &RawValue| {
        policies.egress.extend(Policy::read(raw)?);
        Ok(())
    };
    if !reader.list(POLICIES, namespace, add).await {
        return None;
    }
    // The others matter where something is closed.
    if policies.egress.is_empty() {
        return Some(policies);
    }
    for (resource, is_namespaced) in OTHERS {
        let known = reader.gaps.len();
        let scope = namespace.filter(|_| is_namespaced);
        let add = |raw: &RawValue| {
            let Wire { metadata } = serde_json::from_str(raw.get())?;
            policies.others.insert(metadata.namespace);
            Ok(())
        };
        if !reader.list(resource, scope, add).await {
            // Without the right to read them there may be one.
            reader.gaps.truncate(known);
            policies.others.insert(String::new());
        }
    }
    Some(policies)
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    namespace: String,
}

const POLICIES: Resource =
    Resource::new("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy");

/// Kinds that may allow what a NetworkPolicy closes, and whether they are namespaced. A cluster serves few of them.
const OTHERS: [(Resource, bool); 6] = [
    (
        Resource::new(
            "cilium.io/v2",
            "ciliumnetworkpolicies",
            "CiliumNetworkPolicy",
        ),
        true,
    ),
    (
        Resource::new(
            "cilium.io/v2",
            "ciliumclusterwidenetworkpolicies",
            "CiliumClusterwideNetworkPolicy",
        ),
        false,
    ),
    (
        Resource::new(
            "crd.projectcalico.org/v1",
            "networkpolicies",
            "NetworkPolicy",
        ),
        true,
    ),
    (
        Resource::new(
            "crd.projectcalico.org/v1",
            "globalnetworkpolicies",
            "GlobalNetworkPolicy",
        ),
        false,
    ),
    (
        Resource::new(
            "policy.networking.k8s.io/v1alpha1",
            "adminnetworkpolicies",
            "AdminNetworkPolicy",
        ),
        false,
    ),
    (
        Resource::new(
            "policy.networking.k8s.io/v1alpha2",
            "clusternetworkpolicies",
            "ClusterNetworkPolicy",
        ),
        false,
    ),
];
