//! The objects of pod-managed identity, and which identity a pod gets by them.

use std::collections::BTreeMap;

use crate::facts::object::Object;

/// The objects of pod-managed identity.
#[derive(Clone, Debug, Default)]
pub struct PodIdentity {
    /// AzureIdentity.
    pub identities: Vec<AzureIdentity>,
    /// AzureIdentityBinding.
    pub bindings: Vec<Binding>,
    /// AzurePodIdentityException.
    pub exceptions: Vec<Exception>,
    /// AzureAssignedIdentity.
    pub assigned: Vec<Assigned>,
    /// NMI and MIC.
    pub components: Vec<Component>,
}

/// An AzureIdentity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureIdentity {
    /// Its name.
    pub object: Object,
    /// The kind of identity that it names.
    pub kind: IdentityKind,
    /// The client id, empty when it has none.
    pub client_id: String,
    /// The resource id of a managed identity.
    pub resource_id: Option<String>,
    /// The tenant of a service principal.
    pub tenant_id: Option<String>,
    /// Whether its annotation limits it to pods of its own namespace.
    pub is_namespaced: bool,
}

/// The type of an AzureIdentity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityKind {
    /// 0: a user-assigned managed identity.
    #[default]
    Managed,
    /// 1: a service principal with a secret.
    Secret,
    /// 2: a service principal with a certificate.
    Certificate,
    /// Another number.
    Unknown(i64),
}

/// An AzureIdentityBinding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// Its name.
    pub object: Object,
    /// The AzureIdentity that it names, in its own namespace.
    pub identity: String,
    /// The value of the pods' label `aadpodidbinding`.
    pub selector: String,
    /// The priority among several bindings.
    pub weight: i64,
}

/// An AzurePodIdentityException: pods of its namespace with these labels go past NMI, to the node's metadata service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// Its name.
    pub object: Object,
    /// Labels that a pod has all of.
    pub labels: BTreeMap<String, String>,
}

/// An AzureAssignedIdentity: MIC saw this pod, and this identity for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// The pod.
    pub pod: Object,
    /// Namespace and name of the AzureIdentity.
    pub identity: (String, String),
}

/// A workload of pod-managed identity itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Component {
    /// The DaemonSet of NMI or the Deployment of MIC.
    pub object: Object,
    /// Whether bindings count for pods of their own namespace alone, as on AKS.
    pub is_namespaced: bool,
}

/// A binding that selects a pod, and its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The binding.
    pub binding: &'a Binding,
    /// The AzureIdentity, `None` when it does not exist.
    pub identity: Option<&'a AzureIdentity>,
    /// Whether the binding is in another namespace than the pod, and it is not known whether that counts.
    pub is_foreign: bool,
}

impl PodIdentity {
    /// The bindings that select pods with this label value, those with the most weight first.
    #[must_use]
    pub fn selected(&self, namespace: &str, selector: &str) -> Vec<Selected<'_>> {
        let bindings = self.bindings.iter().filter(|it| it.selector == selector);
        let mut selected: Vec<_> = bindings
            .filter_map(|binding| self.select(namespace, binding))
            .collect();
        selected.sort_by(|one, other| {
            let weight = other.binding.weight.cmp(&one.binding.weight);
            weight.then_with(|| one.binding.object.cmp(&other.binding.object))
        });
        selected
    }

    fn select<'a>(&'a self, namespace: &str, binding: &'a Binding) -> Option<Selected<'a>> {
        let place = &binding.object.namespace;
        let identity = self.identity(place, &binding.identity);
        let is_elsewhere = place != namespace;
        let is_limited = identity.is_some_and(|it| it.is_namespaced)
            || self.components.iter().any(|it| it.is_namespaced);
        (!is_elsewhere || !is_limited).then_some(Selected {
            binding,
            identity,
            is_foreign: is_elsewhere && self.components.is_empty(),
        })
    }

    /// The AzureIdentity of this namespace and name.
    #[must_use]
    pub fn identity(&self, namespace: &str, name: &str) -> Option<&AzureIdentity> {
        let mut identities = self.identities.iter();
        identities.find(|it| it.object.namespace == namespace && it.object.name == name)
    }

    /// The exception that takes pods with these labels past NMI.
    #[must_use]
    pub fn exception(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Option<&Exception> {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        let mut exceptions = self.exceptions.iter();
        exceptions.find(|it| {
            it.object.namespace == namespace && !it.labels.is_empty() && it.labels.iter().all(has)
        })
    }
}

/// The label by which an AzureIdentityBinding selects pods.
pub const BINDING_LABEL: &str = "aadpodidbinding";
/// The group and version of these objects.
pub const VERSION: &str = "aadpodidentity.k8s.io/v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(is_namespaced: bool) -> PodIdentity {
        let binding = |namespace: &str, name: &str, weight| Binding {
            object: Object::new("AzureIdentityBinding", namespace, name),
            identity: "shop".to_owned(),
            selector: "shop".to_owned(),
            weight,
        };
        PodIdentity {
            identities: vec![AzureIdentity {
                object: Object::new("AzureIdentity", "prod", "shop"),
                ..AzureIdentity::default()
            }],
            bindings: vec![
                binding("prod", "light", 1),
                binding("prod", "heavy", 2),
                binding("other", "elsewhere", 3),
            ],
            components: vec![Component {
                is_namespaced,
                ..Component::default()
            }],
            ..PodIdentity::default()
        }
    }

    fn names(selected: &[Selected<'_>]) -> Vec<String> {
        let names = selected.iter().map(|it| it.binding.object.name.clone());
        names.collect()
    }

    #[test]
    fn the_binding_with_the_most_weight_is_first_and_namespaces_count_as_nmi_is_set() {
        let all = cluster(false);
        let selected = all.selected("prod", "shop");
        assert_eq!(names(&selected), ["elsewhere", "heavy", "light"]);
        // The binding's own namespace has no such AzureIdentity.
        assert!(selected[0].identity.is_none() && selected[1].identity.is_some());
        assert!(!selected[0].is_foreign);
        assert_eq!(
            names(&cluster(true).selected("prod", "shop")),
            ["heavy", "light"]
        );
        assert!(all.selected("prod", "Shop").is_empty());
        let mut unknown = cluster(false);
        unknown.components.clear();
        assert!(unknown.selected("prod", "shop")[0].is_foreign);
    }

    #[test]
    fn an_exception_needs_all_of_its_labels() {
        let labels = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let exception = |labels| Exception {
            object: Object::new("AzurePodIdentityException", "prod", "all"),
            labels,
        };
        let mut objects = PodIdentity {
            exceptions: vec![exception(labels(&[("app", "a"), ("tier", "b")]))],
            ..PodIdentity::default()
        };
        let both = labels(&[("app", "a"), ("tier", "b"), ("more", "c")]);
        assert!(objects.exception("prod", &both).is_some());
        assert!(objects.exception("other", &both).is_none());
        assert!(
            objects
                .exception("prod", &labels(&[("app", "a")]))
                .is_none()
        );
        objects.exceptions = vec![exception(BTreeMap::new())];
        assert!(objects.exception("prod", &both).is_none());
    }
}
