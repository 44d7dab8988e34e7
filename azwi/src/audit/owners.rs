//! What stands above the ReplicaSet or Job of a pod.

use std::collections::HashMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, Error, Resource};
use serde::de::DeserializeOwned;

use super::pod::Owner;

/// Owners of owners, in memory once they have been looked up.
pub(super) struct Owners {
    client: Client,
    /// By the uid of the lower one. It does not change.
    known: HashMap<Box<str>, Owner>,
}

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: HashMap::new(),
        }
    }

    /// The Deployment of a ReplicaSet, the CronJob of a Job, or the owner itself.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub(super) async fn top(&mut self, namespace: &str, owner: &Owner) -> Result<Owner, Error> {
        if let Some(known) = self.known.get(&owner.uid) {
            return Ok(known.clone());
        }
        let above = match (&*owner.api_version, &*owner.kind) {
            ("apps/v1", "ReplicaSet") => self.above::<ReplicaSet>(namespace, owner).await?,
            ("batch/v1", "Job") => self.above::<Job>(namespace, owner).await?,
            _ => None,
        };
        let top = above.unwrap_or_else(|| owner.clone());
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(owner.uid.clone(), top.clone());
        Ok(top)
    }

    async fn above<K>(&self, namespace: &str, owner: &Owner) -> Result<Option<Owner>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let object = match api.get_metadata(&owner.name).await {
            Ok(object) => object,
            Err(Error::Api(status)) if status.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let owners = object.metadata.owner_references.unwrap_or_default();
        let controller = owners.iter().find(|it| it.controller == Some(true));
        Ok(controller.and_then(Owner::read))
    }
}

/// Each takes some 300 bytes.
const MAX_KNOWN: usize = 10_000;
