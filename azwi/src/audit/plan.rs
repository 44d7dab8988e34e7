//! Which pod of a workload may be evicted next.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::checks::Code;

/// A pod of a workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) uid: Arc<str>,
    pub(super) is_ready: bool,
    pub(super) is_ending: bool,
    /// The fault for which it is to be replaced.
    pub(super) fault: Option<Code>,
}

/// An eviction whose pod has not been replaced yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// The uids of the pods before the eviction, the evicted one's included.
    pub(super) before: BTreeSet<Arc<str>>,
    pub(super) evicted: Arc<str>,
    pub(super) fault: Code,
}

/// What to do with a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// No pod has a fault.
    Nothing,
    /// The workload is not whole: it changes, or a pod of it is not ready.
    Wait,
    /// The pod of this name, with this uid, may be evicted.
    Evict(Arc<str>, Arc<str>),
    /// The evicted pod is replaced by a ready one.
    Replaced,
    /// The new pod has the same fault: replacing others would not help.
    Hopeless,
}

/// The next step. `wanted` is the number of pods that the workload is to have, of which `pending` has
/// evicted one.
pub(super) fn step(members: &[Member], wanted: usize, pending: Option<&Pending>) -> Step {
    if let Some(pending) = pending {
        let mut new = members
            .iter()
            .filter(|it| !pending.before.contains(&it.uid));
        if new.any(|it| it.fault == Some(pending.fault)) {
            return Step::Hopeless;
        }
        let is_gone = members.iter().all(|it| it.uid != pending.evicted);
        return if is_gone && is_whole(members, wanted) {
            Step::Replaced
        } else {
            Step::Wait
        };
    }
    let mut faulty: Vec<&Member> = members.iter().filter(|it| it.fault.is_some()).collect();
    // A pod that is not ready serves no requests, so it is evicted first.
    faulty.sort_by_key(|it| it.is_ready);
    match faulty.first() {
        None => Step::Nothing,
        Some(first) if is_whole(members, wanted) => {
            Step::Evict(first.name.clone(), first.uid.clone())
        }
        Some(_) => Step::Wait,
    }
}

/// Whether all pods are there and those without a fault are ready. One with a fault may not be ready because of
/// it.
fn is_whole(members: &[Member], wanted: usize) -> bool {
    members.len() == wanted
        && members
            .iter()
            .all(|it| !it.is_ending && (it.is_ready || it.fault.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, is_ready: bool, fault: Option<Code>) -> Member {
        Member {
            name: name.into(),
            uid: name.into(),
            is_ready,
            is_ending: false,
            fault,
        }
    }

    fn pending(before: &[&str], evicted: &str) -> Pending {
        Pending {
            before: before.iter().map(|it| (*it).into()).collect(),
            evicted: evicted.into(),
            fault: Code::NoToken,
        }
    }

    const FAULT: Option<Code> = Some(Code::NoToken);

    #[test]
    fn evicts_one_pod_of_a_whole_workload_that_does_not_serve_first() {
        let members = [
            member("a", true, FAULT),
            member("b", false, FAULT),
            member("c", true, None),
        ];
        assert_eq!(step(&members, 3, None), Step::Evict("b".into(), "b".into()));
        assert_eq!(step(&members, 4, None), Step::Wait, "one is missing");
        let healthy = [member("a", true, None), member("b", false, None)];
        assert_eq!(step(&healthy, 2, None), Step::Nothing);
        let starting = [member("a", true, FAULT), member("b", false, None)];
        assert_eq!(
            step(&starting, 2, None),
            Step::Wait,
            "a healthy pod is not ready"
        );
        let mut ending = [member("a", true, FAULT), member("b", true, None)];
        ending[1].is_ending = true;
        assert_eq!(step(&ending, 2, None), Step::Wait);
    }

    #[test]
    fn waits_until_the_evicted_pod_is_replaced_by_a_ready_one() {
        let pending = pending(&["a", "b"], "a");
        let left = member("b", true, FAULT);
        let replaced = |new: Member| step(&[left.clone(), new], 2, Some(&pending));
        assert_eq!(
            step(std::slice::from_ref(&left), 2, Some(&pending)),
            Step::Wait
        );
        assert_eq!(
            replaced(member("a", true, FAULT)),
            Step::Wait,
            "it is still there"
        );
        assert_eq!(
            replaced(member("c", false, None)),
            Step::Wait,
            "the new one starts"
        );
        assert_eq!(replaced(member("c", true, None)), Step::Replaced);
        assert_eq!(replaced(member("c", false, FAULT)), Step::Hopeless);
        let other = member("c", true, Some(Code::Outdated));
        assert_eq!(replaced(other), Step::Replaced, "another fault");
    }
}
