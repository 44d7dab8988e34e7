//! Faults of pods and their accounts, by workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::owner::Owner;
use super::pod::Pod;
use super::store::{Key, Pods};
use crate::checks::Code;

/// What a finding is about. Objects of other namespaces are others, even if they have the same uid: the author of a pod
/// chooses the uid of its owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// What controls the pods.
    Owner(Arc<Owner>),
    /// A bare pod, by its name and uid.
    Pod(Arc<str>, Arc<str>),
}

/// Namespace, subject and code.
pub(super) type FindingKey = (Arc<str>, Subject, Code);

/// A fault of the pods of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) namespace: Arc<str>,
    pub(super) subject: Subject,
    /// One of the pods.
    pub(super) pod: Arc<str>,
    /// Its uid.
    pub(super) pod_uid: Arc<str>,
    /// How many pods have it.
    pub(super) pods: usize,
    /// The cause in that pod.
    pub(super) cause: Arc<str>,
}

/// The findings of a cluster.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// By owner and code, up to [`MAX_OF_NAMESPACE`] of a namespace and [`MAX_FINDINGS`].
    pub(super) list: Vec<Finding>,
    /// How many there are, by code and namespace. A finding counts once for each of its pods.
    pub(super) counts: BTreeMap<(Code, Arc<str>), usize>,
}

impl Finding {
    pub(super) fn key(&self) -> FindingKey {
        (self.namespace.clone(), self.subject.clone(), self.code)
    }

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

/// The findings. `client_id` is that of a service account now, by namespace and name.
pub(super) fn find(pods: &Pods, client_id: impl Fn(&str, &str) -> Option<Box<str>>) -> Findings {
    let mut found = Found::default();
    pods.each(|key, pod| {
        if pod.is_ending {
            return;
        }
        for fault in &pod.faults {
            found.add(key, pod, fault.code, || fault.cause.clone());
        }
        if let Some(cause) = stale(key, pod, &client_id) {
            found.add(key, pod, Code::Stale, || cause.into());
        }
    });
    Findings {
        list: found.findings.into_values().collect(),
        counts: found.counts,
    }
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

#[derive(Default)]
struct Found {
    findings: BTreeMap<FindingKey, Finding>,
    counts: BTreeMap<(Code, Arc<str>), usize>,
    of_namespace: BTreeMap<Arc<str>, usize>,
}

impl Found {
    fn add(
        &mut self,
        (namespace, name): &Key,
        pod: &Pod,
        code: Code,
        cause: impl FnOnce() -> Arc<str>,
    ) {
        *self.counts.entry((code, namespace.clone())).or_default() += 1;
        let subject = match &pod.owner {
            Some(owner) => Subject::Owner(Arc::clone(owner)),
            None => Subject::Pod(name.clone(), pod.uid.clone()),
        };
        let key = (namespace.clone(), subject, code);
        if let Some(finding) = self.findings.get_mut(&key) {
            finding.pods += 1;
            return;
        }
        let of_namespace = self.of_namespace.entry(namespace.clone()).or_default();
        if *of_namespace >= MAX_OF_NAMESPACE || self.findings.len() >= MAX_FINDINGS {
            return;
        }
        *of_namespace += 1;
        let finding = Finding {
            code,
            namespace: namespace.clone(),
            subject: key.1.clone(),
            pod: name.clone(),
            pod_uid: pod.uid.clone(),
            pods: 1,
            cause: cause(),
        };
        self.findings.insert(key, finding);
    }
}

/// Findings with an Event of their own. Others are only counted.
const MAX_FINDINGS: usize = 20_000;
/// The same, of a namespace.
const MAX_OF_NAMESPACE: usize = 500;

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
            owner: Some(Arc::new(Owner {
                uid: owner.into(),
                ..Owner::default()
            })),
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

    fn uid(finding: &Finding) -> &str {
        match &finding.subject {
            Subject::Owner(owner) => &owner.uid,
            Subject::Pod(_, uid) => uid,
        }
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
            .list
            .iter()
            .map(|it| (uid(it), it.code, it.pods))
            .collect();
        assert_eq!(
            shown,
            [
                ("r1", Code::NoToken, 2),
                ("r2", Code::NoToken, 1),
                ("r2", Code::Outdated, 1)
            ]
        );
        assert_eq!(
            findings.counts.get(&(Code::NoToken, "prod".into())),
            Some(&3)
        );
        let sentence = findings.list[0].sentence();
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
            findings.list.iter().any(|it| it.code == Code::Stale)
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
        let findings = find(&pods(&[("a", ending)]), |_, _| None);
        assert!(findings.list.is_empty() && findings.counts.is_empty());
    }

    #[test]
    fn an_owner_with_the_uid_of_another_one_is_another_one() {
        let pods = pods(&[("victim", pod("r1", None, &[Code::NoToken]))]);
        let evil = |owner: Owner| Pod {
            owner: Some(Arc::new(owner)),
            ..pod("", None, &[Code::NoToken])
        };
        let same = Owner {
            uid: "r1".into(),
            ..Owner::default()
        };
        let other_name = Owner {
            name: "other".into(),
            ..same.clone()
        };
        pods.put(("aaa".into(), "evil".into()), Some(evil(same)));
        pods.put(("prod".into(), "evil".into()), Some(evil(other_name)));
        let findings = find(&pods, |_, _| None).list;
        let shown: Vec<_> = findings
            .iter()
            .map(|it| (&*it.namespace, &*it.pod, it.pods))
            .collect();
        assert_eq!(
            shown,
            [
                ("aaa", "evil", 1),
                ("prod", "victim", 1),
                ("prod", "evil", 1)
            ]
        );
    }

    #[test]
    fn a_namespace_has_a_bounded_number_of_findings_and_all_are_counted() {
        let all = Pods::default();
        for nth in 0..MAX_OF_NAMESPACE + 2 {
            let pod = pod(&nth.to_string(), None, &[Code::NoToken]);
            all.put(("aaa".into(), nth.to_string().into()), Some(pod));
        }
        all.put(
            ("prod".into(), "a".into()),
            Some(pod("r1", None, &[Code::NoToken])),
        );
        let findings = find(&all, |_, _| None);
        assert_eq!(findings.list.len(), MAX_OF_NAMESPACE + 1);
        let counted = findings.counts.get(&(Code::NoToken, "aaa".into()));
        assert_eq!(counted, Some(&(MAX_OF_NAMESPACE + 2)));
        for nth in 0..MAX_FINDINGS {
            let pod = pod("r1", None, &[Code::NoToken]);
            all.put((nth.to_string().into(), "a".into()), Some(pod));
        }
        assert_eq!(find(&all, |_, _| None).list.len(), MAX_FINDINGS);
    }
}
