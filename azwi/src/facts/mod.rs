//! What was read of the cluster, as plain values. Of each object only what a check needs is kept.

pub mod account;
pub mod dry_run;
pub mod exchange;
pub mod installation;
pub mod issuer;
pub mod key_set;
pub mod manifest;
pub mod network;
pub mod object;
pub mod preparation;
pub mod read;
pub mod selector;
pub mod template;
pub mod token;
pub mod token_file;
pub mod workload;

use std::collections::{BTreeMap, BTreeSet};

use contract::label;
use webhook::inject::PodSecurity;

use crate::azure::Inventory;
use account::Account;
use dry_run::DryRun;
use exchange::Exchange;
use installation::Installation;
use issuer::Issuer;
use network::Policies;
use object::Object;
use preparation::Preparation;
use token::Token;
use token_file::TokenFile;
use workload::{Pod, Workload};

/// What was read of the cluster.
#[derive(Debug, Default)]
pub struct Facts {
    /// What could not be read, with the reason.
    pub gaps: Vec<Gap>,
    /// The webhooks that select the product's label. `None` when they could not be read.
    pub installation: Option<Installation>,
    /// The labels of each namespace. `None` when they could not be read.
    pub namespaces: Option<BTreeMap<String, Namespace>>,
    /// Service accounts by namespace and name. `None` when they could not be read.
    pub accounts: Option<BTreeMap<(String, String), Account>>,
    /// Policies about pods' connections. `None` when they could not be read.
    pub policies: Option<Policies>,
    /// Everything with a pod template.
    pub workloads: Vec<Workload>,
    /// Labelled pods, and pods without a workload of [`Facts::workloads`].
    pub pods: Vec<Pod>,
    /// Namespace and name of every service account that a template or a pod names.
    pub used_accounts: BTreeSet<(String, String)>,
    /// The one workload that was asked about.
    pub target: Option<Object>,
    /// A token for the service account of [`Facts::target`], without the token itself.
    pub token: Option<Token>,
    /// The exchange of that token, when it was wanted.
    pub exchange: Option<Exchange>,
    /// The token files in containers of [`Facts::target`], when they were wanted.
    pub token_files: Vec<TokenFile>,
    /// A labelled pod, created as a dry run.
    pub dry_run: Option<DryRun>,
    /// What matters before the webhook is installed. `None` when that was not asked for.
    pub preparation: Option<Preparation>,
    /// The issuer of the cluster's tokens. `None` when it was not needed, or could not be read.
    pub issuer: Option<Issuer>,
    /// The namespace that was read, `None` for all.
    pub scope: Option<String>,
    /// Service accounts that operators use for their own requests, with the operator's object.
    pub operators: BTreeMap<(String, String), Object>,
    /// Identities and federated credentials of Azure, when they were given.
    pub azure: Option<Inventory>,
}

impl Facts {
    /// A namespace, `None` when it could not be read.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.as_ref()?.get(name)
    }

    /// What the namespace's Pod Security level refuses: the webhook configuration has an entry for such namespaces.
    #[must_use]
    pub fn pod_security(&self, namespace: &str) -> PodSecurity {
        let namespace = self.namespace(namespace);
        let level = namespace.and_then(|it| it.labels.get(label::POD_SECURITY_ENFORCE));
        match level.map(String::as_str) {
            Some("baseline" | "restricted") => PodSecurity::RefusesNetAdmin,
            _ => PodSecurity::Unknown,
        }
    }
}

/// A namespace.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// All of its labels: a webhook may select by any.
    pub labels: BTreeMap<String, String>,
    /// The client id's annotation, which belongs on a service account.
    pub client_id: Option<String>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The verb of the right, such as `list`.
    pub verb: &'static str,
    /// The resource with its group, such as `deployments.apps`.
    pub resource: String,
    /// The namespace, `None` for the whole cluster.
    pub namespace: Option<String>,
    /// Whether the API server refused it because a right is missing.
    pub is_forbidden: bool,
    /// The API server's answer, or the error of the connection.
    pub reason: String,
}
