//! Which findings get an Event in a round, so that no namespace delays the Events of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::findings::Finding;

/// Namespaces take turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The last namespace whose turn it was.
    last: Option<Arc<str>>,
}

impl Turns {
    /// The next ones of those that are due: the first of each namespace, then the second of each, and so on.
    pub(super) fn next<'a>(&mut self, due: impl Iterator<Item = &'a Finding>) -> Vec<&'a Finding> {
        let mut namespaces = BTreeMap::<&str, Vec<&Finding>>::new();
        for finding in due {
            let of_namespace = namespaces.entry(&finding.namespace).or_default();
            if of_namespace.len() < MAX_OF_NAMESPACE {
                of_namespace.push(finding);
            }
        }
        let (before, after): (Vec<_>, Vec<_>) =
            namespaces.into_iter().partition(|(namespace, _)| {
                self.last.as_deref().is_some_and(|last| *namespace <= last)
            });
        let in_turn: Vec<Vec<&Finding>> =
            after.into_iter().chain(before).map(|(_, it)| it).collect();
        let all = (0..MAX_OF_NAMESPACE)
            .flat_map(|nth| in_turn.iter().filter_map(move |it| it.get(nth).copied()));
        let next: Vec<&Finding> = all.take(MAX_EVENTS).collect();
        let last = next.get(in_turn.len().min(MAX_EVENTS).saturating_sub(1));
        self.last = last.map(|it| it.namespace.clone());
        next
    }
}

/// Events in one round: a cluster without the webhook may have thousands of findings.
const MAX_EVENTS: usize = 50;
/// The same, of a namespace.
const MAX_OF_NAMESPACE: usize = 5;

#[cfg(test)]
mod tests {
    use super::super::findings::Subject;
    use super::*;
    use crate::checks::Code;

    fn finding(namespace: &str, nth: usize) -> Finding {
        let pod: Arc<str> = format!("pod-{nth}").into();
        Finding {
            code: Code::NoToken,
            namespace: namespace.into(),
            subject: Subject::Pod(pod.clone(), pod.clone()),
            pod: pod.clone(),
            pod_uid: pod,
            pods: 1,
            cause: "cause".into(),
        }
    }

    #[test]
    fn a_namespace_with_many_findings_delays_no_other() {
        let mut due: Vec<_> = (0..1_000).map(|nth| finding("aaa", nth)).collect();
        due.extend([finding("prod", 0), finding("prod", 1)]);
        let next = Turns::default().next(due.iter());
        let shown: Vec<_> = next.iter().map(|it| (&*it.namespace, &*it.pod)).collect();
        assert_eq!(
            shown,
            [
                ("aaa", "pod-0"),
                ("prod", "pod-0"),
                ("aaa", "pod-1"),
                ("prod", "pod-1"),
                ("aaa", "pod-2"),
                ("aaa", "pod-3"),
                ("aaa", "pod-4"),
            ]
        );
    }

    #[test]
    fn many_namespaces_with_findings_delay_another_by_their_number() {
        // Those before it have new findings in every round.
        let due: Vec<_> = (0..120)
            .flat_map(|nth| (0..5).map(move |pod| finding(&format!("a-{nth:03}"), pod)))
            .chain([finding("prod", 0)])
            .collect();
        let mut turns = Turns::default();
        let mut rounds = 1;
        while turns
            .next(due.iter())
            .iter()
            .all(|it| &*it.namespace != "prod")
        {
            rounds += 1;
            assert!(rounds < 10);
        }
        assert_eq!(rounds, 3);
        assert!(turns.next(std::iter::empty()).is_empty());
        let first = |turns: &mut Turns| turns.next(due.iter())[0].namespace.to_string();
        assert_eq!(first(&mut turns), "a-000");
        assert_eq!(first(&mut turns), "a-050", "after the one that was last");
    }
}
