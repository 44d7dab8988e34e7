//! Evicts pods with faults that a new pod does not have, one of a workload at a time.
//!
//! Only pods whose controller makes a new one are evicted, only while the webhook works and acts in the namespace,
//! and only through the eviction API, which keeps disruption budgets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::value::is_guid;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::api::PostParams;
use kube::{Api, Client, Error, Resource};
use serde::de::IgnoredAny;
use tracing::{debug, info, warn};
use webhook::part::Part;
use webhook::reason::reason;

use super::findings::stale;
use super::metrics::Metrics;
use super::object::{NamespaceFields, Progress, WorkloadFields};
use super::owner::Owner;
use super::owners::Owners;
use super::plan::{Member, Pending, Step, step};
use super::pod::Pod;
use super::policy::Policy;
use super::store::{Key, Pods};
use super::unread::Unread;
use crate::checks::{self, Code, Severity};
use crate::facts::installation::Installation;
use crate::facts::{Facts, read};

/// A workload: its namespace and the object above its pods.
type Workload = (Arc<str>, Arc<Owner>);

/// The evictions of a cluster.
pub(super) struct Evictions {
    client: Client,
    metrics: Arc<Metrics>,
    policy: Arc<Policy>,
    pending: BTreeMap<Workload, Pending>,
    /// Workloads whose new pods have the same fault. They are left alone until no pod of theirs has one.
    hopeless: BTreeSet<Workload>,
    /// Workloads whose last eviction was refused, and when.
    refused: BTreeMap<Workload, Instant>,
    unread: Unread,
}

impl Evictions {
    pub(super) fn new(client: Client, metrics: Arc<Metrics>, policy: Arc<Policy>) -> Self {
        Self {
            client,
            metrics,
            policy,
            pending: BTreeMap::new(),
            hopeless: BTreeSet::new(),
            refused: BTreeMap::new(),
            unread: Unread::default(),
        }
    }

    /// Takes the next step of every workload. One that cannot be read is left alone until the next round.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub(super) async fn round(
        &mut self,
        pods: &Pods,
        client_id: impl Fn(&str, &str) -> Option<Box<str>>,
        owners: &mut Owners,
    ) -> Result<(), Error> {
        self.unread.begin();
        let workloads = self.workloads(pods, client_id, owners).await?;
        self.forget_others(&workloads);
        let mut webhook = None;
        for (workload, members) in workloads {
            if self.hopeless.contains(&workload) || self.is_refused(&workload) {
                continue;
            }
            let (namespace, owner) = (workload.0.clone(), Arc::clone(&workload.1));
            if let Err(error) = self.next_step(workload, &members, &mut webhook).await {
                self.unread.add(&namespace, &owner, error)?;
            }
        }
        self.unread.log();
        Ok(())
    }

    /// Takes the next step of a workload. `webhook` is the installation, once it has been read.
    async fn next_step(
        &mut self,
        workload: Workload,
        members: &[Member],
        webhook: &mut Option<Option<Installation>>,
    ) -> Result<(), Error> {
        let Some(wanted) = self.wanted(&workload).await? else {
            return Ok(());
        };
        match step(members, wanted, self.pending.get(&workload)) {
            Step::Nothing | Step::Wait => {}
            Step::Replaced => {
                self.pending.remove(&workload);
            }
            Step::Hopeless => {
                let (namespace, owner) = &workload;
                warn!(%namespace, kind = %owner.kind, name = %owner.name,
                    "the new pod has the same fault: no other pod of the workload is evicted");
                self.pending.remove(&workload);
                self.hopeless.insert(workload);
            }
            Step::Evict(name, uid) => {
                if webhook.is_none() {
                    *webhook = Some(self.webhook().await);
                }
                let installation = webhook.as_ref().and_then(Option::as_ref);
                if self.acts_in(installation, &workload.0).await? {
                    self.evict(workload, members, (name, uid)).await;
                }
            }
        }
        Ok(())
    }

    /// Workloads with a pod to replace, or with one that is being replaced.
    async fn workloads(
        &mut self,
        pods: &Pods,
        client_id: impl Fn(&str, &str) -> Option<Box<str>>,
        owners: &mut Owners,
    ) -> Result<BTreeMap<Workload, Vec<Member>>, Error> {
        let mut all = Vec::<(Arc<str>, Arc<Owner>, Member)>::new();
        let mut namespaces: BTreeSet<Arc<str>> =
            self.pending.keys().map(|(it, _)| it.clone()).collect();
        pods.each(|key, pod| {
            if fault(&self.policy, key, pod, &client_id).is_some() {
                namespaces.insert(key.0.clone());
            }
        });
        pods.each(|key, pod| {
            let Some(owner) = pod.owner.clone().filter(|_| namespaces.contains(&key.0)) else {
                return;
            };
            let member = Member {
                name: key.1.clone(),
                uid: pod.uid.clone(),
                is_ready: pod.is_ready,
                is_ending: pod.is_ending,
                fault: fault(&self.policy, key, pod, &client_id),
            };
            all.push((key.0.clone(), owner, member));
        });
        let mut workloads = BTreeMap::<Workload, Vec<Member>>::new();
        for (namespace, owner, member) in all {
            match owners.top(&namespace, &owner).await {
                Ok(top) => workloads.entry((namespace, top)).or_default().push(member),
                Err(error) => self.unread.add(&namespace, &owner, error)?,
            }
        }
        workloads.retain(|workload, members| {
            members.iter().any(|it| it.fault.is_some()) || self.pending.contains_key(workload)
        });
        Ok(workloads)
    }

    /// Forgets workloads without a pod to replace. One whose pods' owner could not be read may still have one.
    fn forget_others(&mut self, workloads: &BTreeMap<Workload, Vec<Member>>) {
        let unread = &self.unread;
        let is_kept = |it: &Workload| workloads.contains_key(it) || unread.has_namespace(&it.0);
        self.pending.retain(|it, _| is_kept(it));
        self.hopeless.retain(&is_kept);
        self.refused.retain(|it, _| is_kept(it));
    }

    fn is_refused(&self, workload: &Workload) -> bool {
        let since = self.refused.get(workload);
        since.is_some_and(|it| it.elapsed() < PAUSE)
    }

    /// How many pods the workload is to have. `None` while it is being rolled out or scaled, when it is gone, and
    /// for kinds that make no new pod for an evicted one.
    async fn wanted(&self, workload: &Workload) -> Result<Option<usize>, Error> {
        let wanted = match (&*workload.1.api_version, &*workload.1.kind) {
            ("apps/v1", "Deployment") => {
                let it = self.progress::<Deployment>(workload).await?;
                it.as_ref().and_then(of_deployment)
            }
            ("apps/v1", "StatefulSet") => {
                let it = self.progress::<StatefulSet>(workload).await?;
                it.as_ref().and_then(of_stateful_set)
            }
            ("apps/v1", "DaemonSet") => {
                let it = self.progress::<DaemonSet>(workload).await?;
                it.as_ref().and_then(of_daemon_set)
            }
            ("apps/v1", "ReplicaSet") => {
                let it = self.progress::<ReplicaSet>(workload).await?;
                it.as_ref().and_then(of_replica_set)
            }
            _ => None,
        };
        Ok(wanted.and_then(|it| usize::try_from(it).ok()))
    }

    /// `None` when the workload is gone. One of the same name with another uid is another one.
    async fn progress<K>(&self, (namespace, owner): &Workload) -> Result<Option<Progress>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
    {
        let api: Api<Part<K, WorkloadFields>> = Api::namespaced(self.client.clone(), namespace);
        let object = api.get_opt(&owner.name).await?;
        let fields = object.map(|it| it.fields).filter(|it| it.is(&owner.uid));
        Ok(fields.map(|it| it.progress))
    }

    /// The installation, if nothing is wrong with it.
    async fn webhook(&self) -> Option<Installation> {
        let facts = Facts {
            installation: read::installation(self.client.clone()).await,
            ..Facts::default()
        };
        let findings = checks::all(&facts);
        let broken = findings
            .iter()
            .find(|it| it.code.severity() == Severity::Error);
        if let Some(broken) = broken {
            debug!(code = %broken.code, "no pod is evicted while the webhook does not work");
            return None;
        }
        facts.installation
    }

    /// Whether the webhook works, and changes new pods of the namespace.
    async fn acts_in(
        &self,
        installation: Option<&Installation>,
        namespace: &str,
    ) -> Result<bool, Error> {
        let Some(installation) = installation else {
            return Ok(false);
        };
        let api: Api<Part<v1::Namespace, NamespaceFields>> = Api::all(self.client.clone());
        let Some(found) = api.get_opt(namespace).await? else {
            return Ok(false);
        };
        let NamespaceFields { labels, is_ending } = found.fields;
        let mut webhooks = installation
            .configurations
            .iter()
            .flat_map(|it| &it.webhooks);
        Ok(!is_ending && webhooks.any(|it| it.namespace_selector.matches(&labels)))
    }

    async fn evict(
        &mut self,
        workload: Workload,
        members: &[Member],
        (name, uid): (Arc<str>, Arc<str>),
    ) {
        let (namespace, owner) = &workload;
        let api: Api<v1::Pod> = Api::namespaced(self.client.clone(), namespace);
        let fault = members
            .iter()
            .find(|it| it.uid == uid)
            .and_then(|it| it.fault);
        let Some(fault) = fault else { return };
        match request(&api, &name, &uid).await {
            Ok(()) => {
                info!(%namespace, pod = %name, kind = %owner.kind, owner = %owner.name, code = %fault, "pod evicted");
                self.metrics.evicted();
                let before = members.iter().map(|it| it.uid.clone()).collect();
                let pending = Pending {
                    before,
                    evicted: uid,
                    fault,
                };
                self.pending.insert(workload, pending);
            }
            // 429: a disruption budget. 404 and 409: the pod is another one meanwhile.
            Err(error) => {
                let error = reason(&error);
                debug!(%namespace, pod = %name, error, "pod not evicted, trying again later");
                self.refused.insert(workload, Instant::now());
            }
        }
    }
}

/// Requests the eviction of the pod of this name, if it still has this uid. (kube's own writes the field
/// `deleteOptions` under a name that API servers ignore.)
async fn request(api: &Api<v1::Pod>, name: &str, uid: &str) -> Result<(), Error> {
    let eviction = Eviction {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteOptions::default()
        }),
    };
    let parameters = PostParams::default();
    let _: IgnoredAny = api
        .create_subresource("eviction", name, &parameters, &eviction)
        .await?;
    Ok(())
}

/// The fault that a new pod would not have.
fn fault(
    policy: &Policy,
    key: &Key,
    pod: &Pod,
    client_id: &impl Fn(&str, &str) -> Option<Box<str>>,
) -> Option<Code> {
    let current = client_id(&key.0, &pod.account);
    let has_identity = pod.names_identities || current.is_some_and(|it| is_guid(&it));
    if !has_identity || pod.owner.is_none() {
        return None;
    }
    let mut codes = vec![Code::NoToken, Code::NoProxy, Code::BeforeRedirect];
    if policy.is_met_by_the_webhook() {
        codes.push(Code::Outdated);
    }
    let found = codes.into_iter().find(|code| pod.has(*code));
    found.or_else(|| stale(key, pod, client_id).map(|_| Code::Stale))
}

fn of_deployment(it: &Progress) -> Option<i32> {
    let (wanted, status) = (it.replicas.unwrap_or(1), &it.status);
    let is_rolled_out = status.replicas == Some(wanted) && status.updated_replicas == Some(wanted);
    (it.is_observed() && is_rolled_out).then_some(wanted)
}

fn of_stateful_set(it: &Progress) -> Option<i32> {
    let (wanted, status) = (it.replicas.unwrap_or(1), &it.status);
    let is_rolled_out = status.current_revision == status.update_revision;
    let has_all = status.replicas.unwrap_or(0) == wanted;
    (it.is_observed() && is_rolled_out && has_all).then_some(wanted)
}

fn of_daemon_set(it: &Progress) -> Option<i32> {
    let status = &it.status;
    let wanted = status.desired_number_scheduled?;
    let is_rolled_out = status.updated_number_scheduled == Some(wanted);
    let is_scheduled = status.number_misscheduled.unwrap_or(0) == 0;
    (it.is_observed() && is_rolled_out && is_scheduled).then_some(wanted)
}

fn of_replica_set(it: &Progress) -> Option<i32> {
    let wanted = it.replicas.unwrap_or(1);
    let has_all = it.status.replicas.unwrap_or(0) == wanted;
    (it.is_observed() && has_all).then_some(wanted)
}

/// After a refused eviction.
const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::pod::Fault;

    const CLIENT_ID: &str = "1b4db7eb-4057-5ddf-91e0-36dec72071f5";

    #[test]
    fn names_faults_that_a_new_pod_does_not_have() {
        let policy = |image: &str| Policy {
            images: vec![image.to_owned()],
            min_version: Some("0.2.0".parse().unwrap()),
            ..Policy::default()
        };
        let pod = |code| Pod {
            owner: Some(Arc::default()),
            faults: [Fault {
                code,
                cause: "cause".into(),
            }]
            .into(),
            ..Pod::default()
        };
        let key = ("prod".into(), "shop-1".into());
        let named = |image: &str, pod: &Pod, id: &str| {
            let client_id = |_: &str, _: &str| Some(id.into());
            fault(&policy(image), &key, pod, &client_id)
        };
        for code in [Code::NoToken, Code::NoProxy, Code::BeforeRedirect] {
            assert_eq!(named("proxy:v0.2.0", &pod(code), CLIENT_ID), Some(code));
        }
        let outdated = pod(Code::Outdated);
        assert_eq!(
            named("proxy:v0.2.0", &outdated, CLIENT_ID),
            Some(Code::Outdated)
        );
        for image in ["proxy:v0.1.9", "proxy@sha256:0"] {
            assert_eq!(named(image, &outdated, CLIENT_ID), None, "{image}");
        }
        let other_image = pod(Code::OtherImage);
        assert_eq!(named("proxy:v0.2.0", &other_image, CLIENT_ID), None);
        let no_token = pod(Code::NoToken);
        assert_eq!(named("proxy:v0.2.0", &no_token, "shop"), None, "no GUID");
        let own = Pod {
            names_identities: true,
            ..no_token.clone()
        };
        assert_eq!(named("proxy:v0.2.0", &own, ""), Some(Code::NoToken));
        let bare = Pod {
            owner: None,
            ..no_token
        };
        assert_eq!(named("proxy:v0.2.0", &bare, CLIENT_ID), None);
        let stale = Pod {
            faults: Box::default(),
            injected: Some("old".into()),
            ..own
        };
        assert_eq!(named("proxy:v0.2.0", &stale, CLIENT_ID), Some(Code::Stale));
    }

    #[tokio::test]
    async fn forgets_a_workload_without_a_faulty_pod_unless_its_namespace_could_not_be_read() {
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let mut evictions = Evictions::new(client, Arc::default(), Arc::default());
        let workload: Workload = ("prod".into(), Arc::default());
        evictions.hopeless.insert(workload.clone());
        let refused = Error::Api(kube::core::Status::failure("refused", "Forbidden").boxed());
        let unread = &mut evictions.unread;
        unread.add(&workload.0, &workload.1, refused).unwrap();
        evictions.forget_others(&BTreeMap::new());
        assert_eq!(evictions.hopeless.len(), 1);
        evictions.unread.begin();
        evictions.forget_others(&BTreeMap::from([(workload, Vec::new())]));
        assert_eq!(evictions.hopeless.len(), 1);
        evictions.forget_others(&BTreeMap::new());
        assert_eq!(evictions.hopeless.len(), 0);
    }

    /// How many pods a kind is to have, by its spec and status at generation 2.
    fn wanted(of: fn(&Progress) -> Option<i32>, spec: &str, status: &str) -> Option<i32> {
        let object = format!(
            r#"{{ "metadata": {{ "generation": 2 }}, "spec": {{ {spec} }}, "status": {{ {status} }} }}"#
        );
        let object: Part<Deployment, WorkloadFields> = serde_json::from_str(&object).unwrap();
        of(&object.fields.progress)
    }

    #[test]
    fn a_stateful_set_that_is_rolled_out_or_scaled_waits() {
        let wanted = |status: &str| wanted(of_stateful_set, r#""replicas": 3"#, status);
        let whole = r#""observedGeneration": 2, "replicas": 3, "currentRevision": "a", "updateRevision": "a""#;
        assert_eq!(wanted(whole), Some(3));
        assert_eq!(wanted(&whole.replace(": 2", ": 1")), None, "not observed");
        assert_eq!(wanted(&whole.replace(": 3", ": 2")), None, "scaled");
        assert_eq!(
            wanted(&whole.replacen(r#""a""#, r#""b""#, 1)),
            None,
            "rolled out"
        );
    }

    #[test]
    fn a_daemon_set_that_is_rolled_out_waits() {
        let wanted = |status: &str| wanted(of_daemon_set, "", status);
        let whole =
            r#""observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3"#;
        assert_eq!(wanted(whole), Some(3));
        assert_eq!(
            wanted(&whole.replace("eration\": 2", "eration\": 1")),
            None,
            "not observed"
        );
        assert_eq!(
            wanted(&whole.replace("updatedNumberScheduled\": 3", "updatedNumberScheduled\": 2")),
            None,
            "rolled out"
        );
        let stray = format!(r#"{whole}, "numberMisscheduled": 1"#);
        assert_eq!(wanted(&stray), None, "nodes have changed");
    }

    #[test]
    fn a_replica_set_that_is_scaled_waits() {
        let wanted = |spec: &str, status: &str| wanted(of_replica_set, spec, status);
        let observed = r#""observedGeneration": 2, "replicas": 1"#;
        assert_eq!(wanted("", observed), Some(1), "one by default");
        assert_eq!(wanted(r#""replicas": 3"#, observed), None, "scaled");
        assert_eq!(wanted("", r#""replicas": 1"#), None, "not observed");
    }

    #[test]
    fn a_deployment_that_is_rolled_out_or_scaled_waits() {
        let wanted = |generation: u32, replicas: u32, updated: u32| {
            let deployment = json!({
                "metadata": { "generation": 2 },
                "spec": { "replicas": 3, "selector": {}, "template": {} },
                "status": { "observedGeneration": generation, "replicas": replicas, "updatedReplicas": updated },
            });
            let deployment: Part<Deployment, WorkloadFields> =
                serde_json::from_value(deployment).unwrap();
            of_deployment(&deployment.fields.progress)
        };
        assert_eq!(wanted(2, 3, 3), Some(3));
        assert_eq!(wanted(1, 3, 3), None, "not observed");
        assert_eq!(wanted(2, 4, 1), None, "rolled out");
        assert_eq!(wanted(2, 2, 2), None, "scaled");
    }
}
