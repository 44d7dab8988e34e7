//! What a check of workloads is about.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::facts::account::Account;
use crate::facts::object::Object;
use crate::facts::template::Template;
use crate::facts::workload::Pod;

/// A workload with its pods, or pods whose owner's template is not known.
pub(super) struct Subject<'a> {
    pub(super) object: Object,
    pub(super) template: &'a Template,
    /// Whether the object itself has the label.
    pub(super) is_labelled: bool,
    /// The client id's annotation of the object itself.
    pub(super) client_id: Option<&'a str>,
    pub(super) failure: Option<&'a str>,
    pub(super) pods: Vec<&'a Pod>,
}

impl Subject<'_> {
    /// Whether it is one pod alone.
    pub(super) fn is_pod(&self) -> bool {
        self.object.kind == "Pod"
    }

    /// Its service account, `None` when that could not be read or does not exist.
    pub(super) fn account<'f>(&self, facts: &'f Facts) -> Option<&'f Account> {
        let key = (
            self.object.namespace.clone(),
            self.template.service_account.clone(),
        );
        facts.accounts.as_ref()?.get(&key)
    }
}

/// Every workload, then the pods without one, by their owners.
pub(super) fn subjects(facts: &Facts) -> Vec<Subject<'_>> {
    let mut pods = BTreeMap::<&Object, Vec<&Pod>>::new();
    for pod in &facts.pods {
        pods.entry(pod.owner.as_ref().unwrap_or(&pod.object))
            .or_default()
            .push(pod);
    }
    let mut subjects: Vec<_> = facts
        .workloads
        .iter()
        .map(|it| Subject {
            object: it.object.clone(),
            template: &it.template,
            is_labelled: it.is_labelled,
            client_id: it.client_id.as_deref(),
            failure: it.failure.as_deref(),
            pods: pods.remove(&it.object).unwrap_or_default(),
        })
        .collect();
    subjects.extend(pods.into_iter().filter_map(|(object, pods)| {
        Some(Subject {
            object: object.clone(),
            template: &pods.first()?.template,
            is_labelled: false,
            client_id: None,
            failure: None,
            pods,
        })
    }));
    subjects
}
