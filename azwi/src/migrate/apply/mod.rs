//! Changes the cluster: one workload at a time, watched until its pods have their proxy and their token, and rolled
//! back otherwise.

mod write;

pub use write::WriteError;

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::BEFORE;
use super::inventory::read;
use super::inventory::workload::{Form, Workload};
use super::patch::with_nulls;
use super::plan::{Account, Move, Options, Plan, plan};
use super::status::logs::{self, Log};
use super::status::{State, plan_again, status};
use super::write::manifest;
use crate::facts::object::Object;
use write::Writer;

/// What happened to a workload.
#[derive(Debug)]
pub enum Outcome {
    /// It has moved. What is worth knowing of it.
    Moved(Option<String>),
    /// It could not move, and is as before: why.
    RolledBack(String),
    /// It is as before the migration.
    Back,
    /// Has to be done by hand: why.
    ByHand(String),
}

/// Moves one workload.
///
/// # Errors
///
/// When the API server refuses a change, or cannot be reached.
pub async fn forward(
    client: &Client,
    plan: &Plan,
    it: &Move,
    options: &Options,
    timeout: Duration,
) -> Result<Outcome, WriteError> {
    let object = &it.workload.object;
    if it.workload.manifest.is_some() {
        return Ok(Outcome::ByHand(format!(
            "it has to be recreated, which ends it: {}",
            plan_again(object, "-o kubectl")
        )));
    }
    let writer = Writer::new(client.clone());
    for account in &plan.accounts {
        if account.users.contains(object) {
            ensure(&writer, account).await?;
        }
    }
    writer
        .patch(&it.workload.path(), &manifest::remembered(it))
        .await?;
    if !it.workload.rolls {
        let reason = "its template has changed; it does not replace its pods itself: azwi migrate status names them";
        return Ok(Outcome::ByHand(reason.to_owned()));
    }
    match watch(client, object, options, timeout).await {
        Ok(note) => Ok(Outcome::Moved(note)),
        Err(reason) => {
            let back = it.change.back(it.workload.form, &it.workload.template);
            writer
                .patch(&it.workload.path(), &forgetting(&back))
                .await?;
            Ok(Outcome::RolledBack(reason))
        }
    }
}

/// Restores a workload that [`forward`] or the printed commands have changed.
///
/// # Errors
///
/// When the API server refuses a change, or cannot be reached.
pub async fn back(client: &Client, workload: &Workload) -> Result<Outcome, WriteError> {
    let Some(before) = workload
        .before
        .as_deref()
        .and_then(|it| serde_json::from_str(it).ok())
    else {
        let reason = format!("it has no annotation {BEFORE}: use the files of the plan");
        return Ok(Outcome::ByHand(reason));
    };
    let writer = Writer::new(client.clone());
    writer.patch(&workload.path(), &forgetting(&before)).await?;
    Ok(Outcome::Back)
}

/// Restores the service accounts of workloads that went back, unless another workload still needs them. Returns those
/// that were removed or restored.
///
/// # Errors
///
/// When the API server refuses a change, or cannot be reached.
pub async fn accounts_back(
    client: &Client,
    workloads: &[Workload],
) -> Result<Vec<Object>, WriteError> {
    let places: BTreeSet<(String, String)> = workloads
        .iter()
        .map(|it| {
            (
                it.object.namespace.clone(),
                it.template.account().to_owned(),
            )
        })
        .collect();
    let writer = Writer::new(client.clone());
    let mut restored = Vec::new();
    for (namespace, name) in places {
        let path = account_path(&namespace, &name);
        let inventory = read::read(client.clone(), Some(&namespace), false).await;
        let key = (namespace.clone(), name.clone());
        let is_used = inventory
            .workloads
            .iter()
            .any(|it| it.template.account() == name && it.before.is_some());
        let Some(details) = inventory.accounts.get(&key).filter(|_| !is_used) else {
            continue;
        };
        let users = inventory.users.get(&key).map_or(0, BTreeSet::len);
        if details.replaces.is_some() && users == 0 {
            for grant in details.grants.iter().filter(|it| it.is_made) {
                writer.delete(&binding_path(&grant.binding)).await?;
            }
            writer.delete(&path).await?;
        } else if let Some(before) = details
            .before
            .as_deref()
            .and_then(|it| serde_json::from_str::<Value>(it).ok())
        {
            let annotations = with_nulls(&json!({ BEFORE: null }), &before);
            writer
                .patch(
                    &path,
                    &json!({ "metadata": { "annotations": annotations } }),
                )
                .await?;
        } else {
            continue;
        }
        restored.push(Object::new("ServiceAccount", &namespace, &name));
    }
    Ok(restored)
}

/// Makes or annotates a service account.
async fn ensure(writer: &Writer, account: &Account) -> Result<(), WriteError> {
    for object in manifest::account(account) {
        if account.is_new {
            writer.ensure(&object).await?;
        } else {
            let annotations = object.pointer("/metadata/annotations");
            let patch = json!({ "metadata": { "annotations": annotations } });
            writer
                .patch(&account_path(&account.namespace, &account.name), &patch)
                .await?;
        }
    }
    Ok(())
}

fn account_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
}

fn binding_path(binding: &Object) -> String {
    let place = match binding.namespace.as_str() {
        "" => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    let plural = binding.kind.to_ascii_lowercase() + "s";
    format!(
        "/apis/rbac.authorization.k8s.io/v1{place}/{plural}/{}",
        binding.name
    )
}

/// A way back that also removes itself.
fn forgetting(back: &Value) -> Value {
    with_nulls(
        &json!({ "metadata": { "annotations": { BEFORE: null } } }),
        back,
    )
}

/// Waits until a workload is done, or says what it waited for last.
async fn watch(
    client: &Client,
    object: &Object,
    options: &Options,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let deadline = Instant::now() + timeout;
    let mut done = None;
    loop {
        let needs_issuer = options.issuer.is_none();
        let namespace = Some(object.namespace.as_str());
        let mut inventory = read::read(client.clone(), namespace, needs_issuer).await;
        let mut plan = plan(&mut inventory, options);
        plan.keep(|it| it == object);
        let (logs, _) = logs::read(client.clone(), &plan).await;
        let progress = status(&plan, &logs).pop();
        let last = match progress {
            Some(it) if it.state == State::Done => {
                // A proxy that was not asked gets some seconds: most applications ask when they start.
                let since = *done.get_or_insert_with(Instant::now);
                let has_token = logs.values().any(|it| *it == Log::Token);
                let has_no_pods = plan.moves.iter().all(|it| it.pods.is_empty());
                if has_token || has_no_pods || since.elapsed() >= GRACE.min(timeout) {
                    return Ok(it.reason);
                }
                None
            }
            Some(it) => it.reason,
            None => Some("the API server cannot be read".to_owned()),
        };
        if Instant::now() > deadline {
            return last.map_or(Ok(None), Err);
        }
        sleep(PAUSE).await;
    }
}

impl Workload {
    /// Its path in the API.
    fn path(&self) -> String {
        let version = &self.place.version;
        let root = if version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let Object {
            namespace, name, ..
        } = &self.object;
        debug_assert!(self.form != Form::Operator);
        format!(
            "{root}/{version}/namespaces/{namespace}/{}/{name}",
            self.place.plural
        )
    }
}

/// Between two looks at a workload.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a proxy is given to be asked for a token.
const GRACE: Duration = Duration::from_secs(20);
