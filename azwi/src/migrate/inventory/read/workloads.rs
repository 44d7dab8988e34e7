//! Reads everything with a pod template of Kubernetes' own kinds.

use std::collections::{BTreeMap, BTreeSet};

use contract::label;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::facts::object::Object;
use crate::facts::read::reader::{Reader, Resource};
use crate::facts::read::workloads::{self, JobTemplate, RESOURCES, Status};
use crate::facts::template::Template;
use crate::migrate::BEFORE;
use crate::migrate::inventory::Inventory;
use crate::migrate::inventory::pod_identity::BINDING_LABEL;
use crate::migrate::inventory::template::PodTemplate;
use crate::migrate::inventory::workload::{Form, Place, Pod, Workload};

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) workloads: Vec<Workload>,
    pub(super) pods: Vec<Pod>,
    pub(super) users: BTreeMap<(String, String), BTreeSet<Object>>,
    /// The controller of each object that has one, with its `apiVersion`.
    pub(super) owners: BTreeMap<Object, Owner>,
    /// `apiVersion` of every owner of a custom kind.
    pub(super) versions: BTreeMap<Object, String>,
    /// Templates of objects that a custom kind owns, by their owner.
    pub(super) foreign: BTreeMap<Object, PodTemplate>,
    /// Custom objects whose pods come from the template of another object.
    pub(super) references: BTreeMap<Object, Object>,
}

/// The controller of an object.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) version: String,
    pub(super) object: Object,
}

impl Found {
    /// The workload at the top of an object's owners, itself without an owner.
    pub(super) fn root(&self, object: &Object) -> Object {
        let mut root = object.clone();
        for _ in 0..MAX_OWNERS {
            let reference = self.references.get(&root);
            match reference.or_else(|| self.owners.get(&root).map(|it| &it.object)) {
                Some(owner) => root = owner.clone(),
                None => break,
            }
        }
        root
    }

    /// Remembers the controller of an object.
    pub(super) fn own(&mut self, object: Object, owner: Owner) {
        if !is_kubernetes(&owner) {
            let version = owner.version.clone();
            self.versions.insert(owner.object.clone(), version);
        }
        self.owners.insert(object, owner);
    }

    /// Remembers who names a service account.
    pub(super) fn use_account(&mut self, user: &Object, account: &str) {
        let key = (user.namespace.clone(), account.to_owned());
        self.users.entry(key).or_default().insert(user.clone());
    }

    pub(super) fn has(&self, object: &Object) -> bool {
        self.workloads.iter().any(|it| it.object == *object)
    }

    /// Moves everything into the inventory.
    pub(super) fn into_inventory(mut self, inventory: &mut Inventory) {
        self.workloads.sort_by(|one, other| {
            let key = |it: &Workload| (it.object.namespace.clone(), it.object.clone());
            key(one).cmp(&key(other))
        });
        inventory.workloads = self.workloads;
        inventory.pods = self.pods;
        inventory.users = self.users;
    }
}

/// Reads the workloads that a migration concerns, and who owns the others.
pub(super) async fn read(reader: &mut Reader, namespace: Option<&str>, found: &mut Found) {
    for resource in RESOURCES {
        let add = |raw: &RawValue| add(resource, raw, found);
        reader.list(resource, namespace, add).await;
    }
}

fn add(resource: Resource, raw: &RawValue, found: &mut Found) -> Result<(), serde_json::Error> {
    let Wire {
        mut metadata,
        spec,
        status,
    } = serde_json::from_str(raw.get())?;
    let object = Object::new(resource.kind, &metadata.namespace, &metadata.name);
    if resource.kind == "Job" && status.unwrap_or_default().has_ended() {
        return Ok(());
    }
    let form = match resource.kind {
        "CronJob" => Form::CronJob,
        "Job" => Form::Job,
        _ => Form::Template,
    };
    let template = spec.template.or_else(|| spec.job_template?.template());
    let Some(template) = template else {
        return Ok(());
    };
    let is_concerned = concerns(template.get());
    if let Some(owner) = controller(&mut metadata) {
        if is_concerned && !is_kubernetes(&owner) {
            let template = PodTemplate(serde_json::from_str(template.get())?);
            found
                .foreign
                .entry(owner.object.clone())
                .or_insert(template);
        }
        found.own(object, owner);
        return Ok(());
    }
    let account = Template::read(template, false)?.service_account;
    found.use_account(&object, &account);
    if !is_concerned {
        return Ok(());
    }
    let strategy = spec.update_strategy.and_then(|it| it.kind);
    found.workloads.push(Workload {
        object,
        place: Place {
            version: resource.version.to_owned(),
            plural: resource.plural.to_owned(),
        },
        form,
        template: PodTemplate(serde_json::from_str(template.get())?),
        manifest: match form {
            Form::Job => Some(serde_json::from_str(raw.get())?),
            _ => None,
        },
        replicas: spec.replicas,
        rolls: strategy.as_deref() != Some("OnDelete")
            && !["ReplicaSet", "ReplicationController"].contains(&resource.kind),
        before: metadata.annotations.before,
    });
    Ok(())
}

/// Whether a template concerns a migration: without parsing, because most do not.
pub(super) fn concerns(json: &str) -> bool {
    json.contains(BINDING_LABEL) || ADDRESSES.iter().any(|it| json.contains(it))
}

/// The owner that controls an object.
pub(super) fn controller(metadata: &mut Metadata) -> Option<Owner> {
    let owner = workloads::controller(metadata.owner_references.take())?;
    Some(Owner {
        version: owner.api_version.unwrap_or_default(),
        object: Object::new(&owner.kind, &metadata.namespace, &owner.name),
    })
}

/// Whether an owner is of Kubernetes' own kinds, whose template is read.
fn is_kubernetes(owner: &Owner) -> bool {
    let kind = &owner.object.kind;
    kind == "Node"
        || RESOURCES
            .iter()
            .any(|it| it.kind == kind && it.version == owner.version)
}

#[derive(Deserialize)]
struct Wire<'a> {
    metadata: Metadata,
    #[serde(borrow)]
    spec: Spec<'a>,
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) deletion_timestamp: Option<String>,
    #[serde(default)]
    pub(super) annotations: Annotations,
    owner_references: Option<Vec<workloads::Owner>>,
}

/// The annotation in which the way back is.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Option<BTreeMap<String, Value>>")]
pub(super) struct Annotations {
    pub(super) before: Option<String>,
}

impl From<Option<BTreeMap<String, Value>>> for Annotations {
    fn from(map: Option<BTreeMap<String, Value>>) -> Self {
        let before = map.and_then(|it| it.get(BEFORE)?.as_str().map(str::to_owned));
        Self { before }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow)]
    template: Option<&'a RawValue>,
    #[serde(borrow)]
    job_template: Option<JobTemplate<'a>>,
    replicas: Option<u64>,
    update_strategy: Option<Strategy>,
}

#[derive(Deserialize)]
struct Strategy {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The node's metadata service, as programs write its address.
pub(super) const ADDRESSES: [&str; 1] = ["169.254.169.254"];
/// Owners above each other: Pod, ReplicaSet, Rollout, and one more.
const MAX_OWNERS: usize = 6;
/// The label of the webhook, for pods.
pub(super) const USE: &str = label::USE;
