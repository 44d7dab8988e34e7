//! Kubernetes Events about findings: one for each owner and code, repeated hourly at most.
//!
//! The name of an Event follows from the owner and the code, so that an audit that starts again finds what the
//! one before it wrote.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::json;
use webhook::part::Part;

use super::findings::Finding;
use super::object::EventFields;
use super::owner::Owner;

/// Writes Events.
pub(super) struct Events {
    client: Client,
    /// This replica, as Events name it.
    instance: String,
}

impl Events {
    pub(super) fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Writes an Event about the finding on `owner`, or on the bare pod, unless there is one of the last hour.
    ///
    /// # Errors
    ///
    /// When the API server refuses it.
    pub(super) async fn write(
        &self,
        finding: &Finding,
        owner: Option<&Owner>,
    ) -> Result<(), Error> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &finding.namespace);
        let now = Timestamp::now();
        let event = event(finding, owner, &self.instance, now);
        match api.create(&PostParams::default(), &event).await {
            Err(Error::Api(status)) if status.is_already_exists() => {}
            created => return created.map(drop),
        }
        let name = event.metadata.name.unwrap_or_default();
        // It may not be the audit's: who may create Events can give one this name.
        let api: Api<Part<Event, EventFields>> =
            Api::namespaced(self.client.clone(), &finding.namespace);
        let Some(existing) = api.get_opt(&name).await? else {
            return Ok(());
        };
        let Some(series) = next(&existing.fields, now) else {
            return Ok(());
        };
        let patch = Patch::Merge(json!({ "series": series }));
        api.patch(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

fn event(finding: &Finding, owner: Option<&Owner>, instance: &str, now: Timestamp) -> Event {
    let pod = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(finding.pod.to_string()),
        namespace: Some(finding.namespace.to_string()),
        uid: Some(finding.pod_uid.to_string()),
        ..ObjectReference::default()
    };
    let regarding = owner.map(|it| ObjectReference {
        api_version: Some(it.api_version.to_string()),
        kind: Some(it.kind.to_string()),
        name: Some(it.name.to_string()),
        namespace: Some(finding.namespace.to_string()),
        uid: Some(it.uid.to_string()),
        ..ObjectReference::default()
    });
    let note: String = finding.sentence().chars().take(MAX_NOTE).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(name(finding, owner)),
            namespace: Some(finding.namespace.to_string()),
            ..ObjectMeta::default()
        },
        action: Some("Audit".to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(note),
        reason: Some(format!("{:?}", finding.code)),
        related: regarding.is_some().then(|| pod.clone()),
        regarding: Some(regarding.unwrap_or(pod)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some("Warning".to_owned()),
        ..Event::default()
    }
}

/// The name of the Event about this finding. The object's name comes first, as in other Events.
fn name(finding: &Finding, owner: Option<&Owner>) -> String {
    let mut hasher = DefaultHasher::new();
    let object = match owner {
        Some(owner) => {
            (&owner.api_version, &owner.kind, &owner.name, &owner.uid).hash(&mut hasher);
            &*owner.name
        }
        None => {
            (&finding.pod, &finding.pod_uid).hash(&mut hasher);
            &*finding.pod
        }
    };
    finding.code.as_str().hash(&mut hasher);
    let object: String = object.chars().take(MAX_OBJECT).collect();
    let object = object.trim_end_matches(['.', '-']);
    format!("{object}.{:016x}", hasher.finish())
}

/// The series with one occurrence more, `None` within an hour after the last.
fn next(event: &EventFields, now: Timestamp) -> Option<EventSeries> {
    let series = event.series.as_ref();
    let first = event.event_time.as_ref();
    let last = series.map(|it| &it.last_observed_time).or(first)?;
    let is_due = now.duration_since(last.0) >= HOUR;
    is_due.then(|| EventSeries {
        count: series.map_or(1, |it| it.count).saturating_add(1),
        last_observed_time: MicroTime(now),
    })
}

const CONTROLLER: &str = "azure-workload-identity/audit";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Bytes of a note, by validation of the API server; every character here may have four.
const MAX_NOTE: usize = 255;
/// Characters of the object's name, so that the Event's name is none too long.
const MAX_OBJECT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::findings::Subject;
    use crate::checks::Code;

    fn finding(code: Code) -> Finding {
        Finding {
            code,
            namespace: "prod".into(),
            subject: Subject::Pod("shop-1".into(), "u1".into()),
            pod: "shop-1".into(),
            pod_uid: "u1".into(),
            pods: 1,
            cause: "cause".into(),
        }
    }

    #[test]
    fn an_event_has_one_name_for_each_owner_and_code() {
        let owner = |name: &str, uid: &str| Owner {
            name: name.into(),
            uid: uid.into(),
            ..Owner::default()
        };
        let of = |code, owner: Owner| name(&finding(code), Some(&owner));
        let first = of(Code::NoToken, owner("shop", "d1"));
        assert_eq!(first, of(Code::NoToken, owner("shop", "d1")));
        assert_ne!(first, of(Code::NoProxy, owner("shop", "d1")));
        assert_ne!(first, of(Code::NoToken, owner("shop", "d2")));
        let other_kind = Owner {
            kind: "Other".into(),
            ..owner("shop", "d1")
        };
        assert_ne!(first, of(Code::NoToken, other_kind));
        assert!(first.starts_with("shop."), "{first}");
        let long = of(Code::NoToken, owner(&"a.".repeat(126), "d1"));
        assert!(long.len() <= 253 && !long.contains(".."), "{long}");
        assert!(name(&finding(Code::NoToken), None).starts_with("shop-1."));
    }

    #[test]
    fn an_event_is_about_the_owner_or_the_bare_pod_and_has_a_short_note() {
        let mut finding = finding(Code::NoToken);
        finding.cause = "\u{1f600}".repeat(1_000).into();
        let owner = Owner {
            kind: "Deployment".into(),
            name: "shop".into(),
            ..Owner::default()
        };
        let kinds = |owner: Option<&Owner>| {
            let event = event(&finding, owner, "audit", Timestamp::now());
            assert!(event.note.unwrap().len() <= 1_024);
            let related = event.related.map(|it| it.kind.unwrap());
            (event.regarding.unwrap().kind.unwrap(), related)
        };
        let pod = "Pod".to_owned();
        assert_eq!(
            kinds(Some(&owner)),
            ("Deployment".to_owned(), Some(pod.clone()))
        );
        assert_eq!(kinds(None), (pod, None));
    }

    #[test]
    fn an_event_is_repeated_after_an_hour() {
        let now = Timestamp::now();
        let event = event(&finding(Code::NoToken), None, "audit", now);
        let event = serde_json::to_value(event).unwrap();
        let mut event: EventFields = serde_json::from_value(event).unwrap();
        assert_eq!(next(&event, now + SignedDuration::from_mins(59)), None);
        let later = now + SignedDuration::from_mins(60);
        let series = next(&event, later).unwrap();
        assert_eq!(series.count, 2);
        event.series = Some(series);
        assert_eq!(next(&event, later), None);
        assert_eq!(next(&event, later + HOUR).unwrap().count, 3);
    }
}
