//! Faults of pods and their accounts, by workload.

use std::collections::BTreeMap;

use super::pod::{Owner, Pod};
use super::store::{Key, Pods};
use crate::checks::Code;

/// A fault of the pods of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) namespace: Box<str>,
    /// What controls the pods, `None` for a bare pod.
    pub(super) owner: Option<Owner>,
    /// The uid of the owner, or of the bare pod.
    pub(super) uid: Box<str>,
    /// One of the pods.
    pub(super) pod: Box<str>,
    /// Its uid.
    pub(super) pod_uid: Box<str>,
    /// How many pods have it.
    pub(super) pods: usize,
    /// The cause in that pod.
    pub(super) cause: Box<str>,
}

impl Finding {
    /// The finding as a sentence, with its code and page.
    pub(super) fn sentence(&self) -> String {
        let pods = match self.pods {
            1 => format!("pod {}", self.pod),
            pods => format!("{pods} pods, such as {}", self.pod),
        };
        format!(
            "{} ({pods}). {}, see {}",
            self.cause,
            self.code,
            self.code.page()
        )
    }
}

/// The findings, by owner and code. `client_id` is that of a service account now, by namespace and name.
pub(super) fn find(
    pods: &Pods,
    client_id: impl Fn(&str, &str) -> Option<Box<str>>,
) -> Vec<Finding> {
    let mut findings = BTreeMap::<(Box<str>, Code), Finding>::new();
    pods.each(|key, pod| {
        if pod.is_ending {
            return;
        }
        for fault in &pod.faults {
            add(&mut findings, key, pod, (fault.code, &fault.cause));
        }
        if let Some(cause) = stale(key, pod, &client_id) {
            add(&mut findings, key, pod, (Code::Stale, &cause));
        }
    });
    findings.into_values().collect()
}

/// Whether the service account names another client id than the pod was given.
pub(super) fn stale(
    (namespace, _): &Key,
    pod: &Pod,
    client_id: impl Fn(&str, &str) -> Option<Box<str>>,
) -> Option<String> {
    let injected = pod.injected.as_deref()?;
    let current = client_id(namespace, &pod.account)?;
    (injected != &*current).then(|| {
        format!(
            "the pods have another client id than their service account {} now: it changed after they were made",
            pod.account
        )
    })
}

fn add(
    findings: &mut BTreeMap<(Box<str>, Code), Finding>,
    (namespace, name): &Key,
    pod: &Pod,
    (code, cause): (Code, &str),
) {
    let uid = pod.owner.as_ref().map_or(&pod.uid, |it| &it.uid);
    let found = findings
        .entry((uid.clone(), code))
        .or_insert_with(|| Finding {
            code,
            namespace: namespace.clone(),
            owner: pod.owner.clone(),
            uid: uid.clone(),
            pod: name.clone(),
            pod_uid: pod.uid.clone(),
            pods: 0,
            cause: cause.into(),
        });
    found.pods += 1;
}

/// How many findings there are, by code and namespace. A finding counts once for each of its pods.
pub(super) fn count(findings: &[Finding]) -> BTreeMap<(Code, Box<str>), usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        let key = (finding.code, finding.namespace.clone());
        *counts.entry(key).or_default() += finding.pods;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::pod::Fault;

    fn pod(owner: &str, injected: Option<&str>, faults: &[Code]) -> Pod {
        let fault = |code: &Code| Fault {
            code: *code,
            cause: "cause".into(),
        };
        Pod {
            owner: Some(Owner {
                uid: owner.into(),
                ..Owner::default()
            }),
            account: "shop".into(),
            injected: injected.map(Into::into),
            faults: faults.iter().map(fault).collect(),
            ..Pod::default()
        }
    }

    fn pods(list: &[(&str, Pod)]) -> Pods {
        let pods = Pods::default();
        for (name, pod) in list {
            pods.put(("prod".into(), (*name).into()), Some(pod.clone()));
        }
        pods
    }

    #[test]
    fn groups_faults_by_owner_and_code() {
        let pods = pods(&[
            ("a", pod("r1", None, &[Code::NoToken])),
            ("b", pod("r1", None, &[Code::NoToken])),
            ("c", pod("r2", None, &[Code::NoToken, Code::Outdated])),
            ("d", pod("r3", None, &[])),
        ]);
        let findings = find(&pods, |_, _| None);
        let shown: Vec<_> = findings
            .iter()
            .map(|it| (&*it.uid, it.code, it.pods))
            .collect();
        assert_eq!(
            shown,
            [
                ("r1", Code::NoToken, 2),
                ("r2", Code::NoToken, 1),
                ("r2", Code::Outdated, 1)
            ]
        );
        let counts = count(&findings);
        assert_eq!(counts.get(&(Code::NoToken, "prod".into())), Some(&3));
        let sentence = findings.first().unwrap().sentence();
        assert_eq!(
            sentence,
            "cause (2 pods, such as a). AZWI-W005, see docs/checks.md#azwi-w005"
        );
    }

    #[test]
    fn compares_the_injected_client_id_with_the_account_of_now() {
        let changed = |injected, current: Option<&str>| {
            let pods = pods(&[("a", pod("r1", injected, &[]))]);
            let findings = find(&pods, |namespace, name| {
                assert_eq!((namespace, name), ("prod", "shop"));
                current.map(Into::into)
            });
            findings.iter().any(|it| it.code == Code::Stale)
        };
        assert!(changed(Some("old"), Some("new")));
        assert!(changed(Some(""), Some("new")), "annotated since");
        assert!(!changed(Some("same"), Some("same")));
        assert!(
            !changed(None, Some("new")),
            "the pod does not use the account's"
        );
        assert!(
            !changed(Some("old"), None),
            "the account's annotation is gone"
        );
    }

    #[test]
    fn a_pod_that_ends_has_no_finding() {
        let ending = Pod {
            is_ending: true,
            ..pod("r1", None, &[Code::NoToken])
        };
        assert!(find(&pods(&[("a", ending)]), |_, _| None).is_empty());
    }
}
