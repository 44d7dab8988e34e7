//! Whether a pod runs on Windows, however it says so.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use super::entries::{BETA_OS, Entries, NODE_LABELS, OS, WINDOWS_BUILD};
use super::text::Text;

/// The field of a pod that asks for Windows. `None` for a pod that runs on Linux, and for one that leaves it
/// open. `os` is the name in the pod's `os`, and `options` are those of the pod and its containers.
pub(super) fn field<'a>(
    os: &str,
    selector: Option<&Entries<'_>>,
    affinity: Option<&Affinity<'_>>,
    mut options: impl Iterator<Item = &'a WindowsOptions>,
) -> Option<&'static str> {
    let named = (!os.is_empty()).then(|| Os::named(os));
    let selected = || selector.and_then(os_of_labels);
    let required = || affinity.and_then(Affinity::os);
    let (field, system) = named
        .map(|it| ("os", it))
        .or_else(|| selected().map(|it| ("nodeSelector", it)))
        .or_else(|| required().map(|it| ("node affinity", it)))
        .or_else(|| {
            let is_set = options.any(WindowsOptions::is_set);
            is_set.then_some(("windowsOptions", Os::Windows))
        })?;
    (system == Os::Windows).then_some(field)
}

/// The operating system of the nodes that a part of the pod selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Os {
    Windows,
    Other,
}

impl Os {
    fn named(name: &str) -> Self {
        match name {
            "windows" => Self::Windows,
            _ => Self::Other,
        }
    }

    /// By the name of a distribution, such as `Windows2022`, `windows_ltsc` or `AzureLinux`.
    fn of_distribution(name: &str) -> Self {
        let start = name.get(.."windows".len()).unwrap_or_default();
        Self::named(&start.to_ascii_lowercase())
    }
}

fn os_of_labels(labels: &Entries<'_>) -> Option<Os> {
    let mut selected = NODE_LABELS.iter();
    selected.find_map(|key| os_of_label(key, labels.value(key)?))
}

/// The operating system of nodes with this label.
fn os_of_label(key: &str, value: &str) -> Option<Os> {
    match key {
        OS | BETA_OS => Some(Os::named(value)),
        WINDOWS_BUILD => Some(Os::Windows),
        _ if NODE_LABELS.contains(&key) => Some(Os::of_distribution(value)),
        _ => None,
    }
}

/// `spec.affinity`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Affinity<'a> {
    #[serde(borrow)]
    node_affinity: Option<NodeAffinity<'a>>,
}

impl Affinity<'_> {
    /// A node has to match one of the terms, so that all must agree. The API server refuses none at all.
    fn os(&self) -> Option<Os> {
        let required = self.node_affinity.as_ref()?.required.as_ref()?;
        let mut systems = required.terms.as_deref()?.iter().map(Term::os);
        let first = systems.next()??;
        systems.all(|it| it == Some(first)).then_some(first)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAffinity<'a> {
    #[serde(borrow, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSelector<'a> {
    #[serde(borrow, rename = "nodeSelectorTerms")]
    terms: Option<Vec<Term<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term<'a> {
    #[serde(borrow)]
    match_expressions: Option<Vec<Expression<'a>>>,
}

impl Term<'_> {
    /// A node has to match all expressions.
    fn os(&self) -> Option<Os> {
        self.match_expressions
            .iter()
            .flatten()
            .find_map(Expression::os)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expression<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    operator: Text<'a>,
    #[serde(borrow)]
    values: Values<'a>,
}

impl Expression<'_> {
    fn os(&self) -> Option<Os> {
        let key = self.key.as_str();
        let mut values = self.values.first.iter().map(Text::as_str);
        match self.operator.as_str() {
            // Those that are not kept may be of any system.
            "In" if self.values.has_more => None,
            "In" => {
                let first = os_of_label(key, values.next()?)?;
                let mut others = values.map(|value| os_of_label(key, value));
                others.all(|it| it == Some(first)).then_some(first)
            }
            // Kubernetes has no third system.
            "NotIn" if [OS, BETA_OS].contains(&key) => values.find_map(|value| match value {
                "linux" => Some(Os::Windows),
                "windows" => Some(Os::Other),
                _ => None,
            }),
            "Exists" | "Gt" | "Lt" if key == WINDOWS_BUILD => Some(Os::Windows),
            _ => None,
        }
    }
}

/// The values of an expression. A list may be as long as the review, and a string that is kept takes more memory
/// than its bytes.
#[derive(Debug, Default)]
struct Values<'a> {
    first: Vec<Text<'a>>,
    has_more: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor;

        impl<'de> Visitor<'de> for ValuesVisitor {
            type Value = Values<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of strings")
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Values::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Values::default();
                while values.first.len() < MAX_VALUES {
                    let Some(value) = list.next_element()? else {
                        return Ok(values);
                    };
                    values.first.push(value);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    values.has_more = true;
                }
                Ok(values)
            }
        }

        deserializer.deserialize_any(ValuesVisitor)
    }
}

/// More than there are systems.
const MAX_VALUES: usize = 8;

/// `windowsOptions` of a pod or container. The kubelet on Linux ignores them, but they have no other use.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WindowsOptions {
    gmsa_credential_spec: Option<IgnoredAny>,
    gmsa_credential_spec_name: Option<IgnoredAny>,
    host_process: Option<bool>,
    run_as_user_name: Option<IgnoredAny>,
}

impl WindowsOptions {
    fn is_set(&self) -> bool {
        let options = [
            &self.gmsa_credential_spec,
            &self.gmsa_credential_spec_name,
            &self.run_as_user_name,
        ];
        self.host_process == Some(true) || options.into_iter().any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::inject::input::pod::Pod;

    fn windows(spec: &Value) -> Option<&'static str> {
        let text = json!({ "spec": spec }).to_string();
        serde_json::from_str::<Pod<'_>>(&text).unwrap().windows()
    }

    fn affinity(terms: &[Value]) -> Value {
        let terms: Vec<_> = terms
            .iter()
            .map(|expressions| json!({ "matchExpressions": expressions }))
            .collect();
        json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
        } } })
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "key": key, "operator": operator, "values": values })
    }

    #[test]
    fn reads_windows_from_labels_of_nodes() {
        for (key, value, expected) in [
            ("kubernetes.io/os", "windows", Some("nodeSelector")),
            ("beta.kubernetes.io/os", "windows", Some("nodeSelector")),
            (
                "node.kubernetes.io/windows-build",
                "10.0.20348",
                Some("nodeSelector"),
            ),
            (
                "kubernetes.azure.com/os-sku",
                "Windows2022",
                Some("nodeSelector"),
            ),
            ("kubernetes.azure.com/os-sku", "AzureLinux", None),
            (
                "kubernetes.azure.com/os-sku-effective",
                "Windows2025",
                Some("nodeSelector"),
            ),
            (
                "kubernetes.azure.com/os-sku-requested",
                "Windows2022",
                Some("nodeSelector"),
            ),
            (
                "cloud.google.com/gke-os-distribution",
                "windows_ltsc",
                Some("nodeSelector"),
            ),
            ("cloud.google.com/gke-os-distribution", "cos", None),
            ("node.openshift.io/os_id", "Windows", Some("nodeSelector")),
            ("node.openshift.io/os_id", "rhel", None),
            ("kubernetes.io/os", "linux", None),
            ("kubernetes.io/hostname", "windows", None),
        ] {
            assert_eq!(
                windows(&json!({ "nodeSelector": { key: value } })),
                expected
            );
        }
    }

    #[test]
    fn reads_windows_from_a_required_affinity() {
        let os = |operator, values: &[&str]| expression("kubernetes.io/os", operator, values);
        let beta = expression("beta.kubernetes.io/os", "In", &["windows"]);
        let zone = expression("zone", "In", &["windows"]);
        let build = expression("node.kubernetes.io/windows-build", "Exists", &[]);
        let expected = Some("node affinity");
        for (terms, expected) in [
            (vec![json!([os("In", &["windows"])])], expected),
            (vec![json!([zone, beta])], expected),
            (vec![json!([build])], expected),
            (vec![json!([os("NotIn", &["linux"])])], expected),
            (
                vec![json!([os("In", &["windows"])]), json!([beta])],
                expected,
            ),
            (vec![json!([os("In", &["windows"])]), json!([zone])], None),
            (vec![json!([os("In", &["windows", "linux"])])], None),
            (vec![json!([os("In", &[])])], None),
            (vec![json!([os("In", &["windows"; 8])])], expected),
            (vec![json!([os("In", &["windows"; 9])])], None),
            (
                vec![json!([{ "key": "kubernetes.io/os", "operator": "In", "values": null }])],
                None,
            ),
            (vec![json!([os("NotIn", &["windows"])])], None),
            (vec![json!([zone])], None),
            (vec![Value::Null], None),
            (vec![], None),
        ] {
            assert_eq!(windows(&affinity(&terms)), expected, "{terms:?}");
        }
    }

    #[test]
    fn reads_windows_from_windows_options() {
        let of_pod = |options: Value| json!({ "securityContext": { "windowsOptions": options } });
        let of_container =
            |options: Value| json!({ "containers": [{ "name": "a" }, of_pod(options)] });
        for options in [
            json!({ "hostProcess": true }),
            json!({ "runAsUserName": "ContainerUser" }),
            json!({ "gmsaCredentialSpecName": "a" }),
        ] {
            for spec in [of_pod(options.clone()), of_container(options)] {
                assert_eq!(windows(&spec), Some("windowsOptions"), "{spec}");
            }
        }
        for options in [json!({}), json!({ "hostProcess": false }), Value::Null] {
            for spec in [of_pod(options.clone()), of_container(options)] {
                assert_eq!(windows(&spec), None, "{spec}");
            }
        }
    }

    /// The API server refuses some of these.
    #[test]
    fn the_plainest_statement_wins() {
        let mut spec = json!({ "securityContext": { "windowsOptions": { "runAsUserName": "a" } } });
        assert_eq!(windows(&spec), Some("windowsOptions"));
        spec["nodeSelector"] = json!({ "kubernetes.io/os": "linux" });
        assert_eq!(windows(&spec), None);
        spec["os"] = json!({ "name": "windows" });
        assert_eq!(windows(&spec), Some("os"));
    }
}
