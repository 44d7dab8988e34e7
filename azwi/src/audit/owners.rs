//! The owner of a pod's ReplicaSet or Job.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, Error, Resource};
use webhook::part::Part;

use super::object::WorkloadFields;
use super::owner::Owner;

/// Owners of owners, in memory once they have been looked up.
pub(super) struct Owners {
    client: Client,
    /// By the namespace and the lower one. It does not change.
    known: BTreeMap<(Arc<str>, Arc<Owner>), Arc<Owner>>,
}

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: BTreeMap::new(),
        }
    }

    /// The Deployment of a ReplicaSet, the CronJob of a Job, or the owner itself.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub(super) async fn top(
        &mut self,
        namespace: &Arc<str>,
        owner: &Arc<Owner>,
    ) -> Result<Arc<Owner>, Error> {
        let key = (Arc::clone(namespace), Arc::clone(owner));
        if let Some(known) = self.known.get(&key) {
            return Ok(Arc::clone(known));
        }
        let above = match (&*owner.api_version, &*owner.kind) {
            ("apps/v1", "ReplicaSet") => self.above::<ReplicaSet>(namespace, owner).await?,
            ("batch/v1", "Job") => self.above::<Job>(namespace, owner).await?,
            _ => return Ok(Arc::clone(owner)),
        };
        let top = above.map_or_else(|| Arc::clone(owner), Arc::new);
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(key, Arc::clone(&top));
        Ok(top)
    }

    async fn above<K>(&self, namespace: &str, owner: &Owner) -> Result<Option<Owner>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
    {
        let api: Api<Part<K, WorkloadFields>> = Api::namespaced(self.client.clone(), namespace);
        let object = api.get_opt(&owner.name).await?;
        let workload = object.map(|it| it.fields).filter(|it| it.is(&owner.uid));
        let controller = workload.and_then(|it| it.controller);
        Ok(controller.as_ref().and_then(Owner::read))
    }
}

/// Each takes some 300 bytes, and 1,300 at most.
const MAX_KNOWN: usize = 5_000;
