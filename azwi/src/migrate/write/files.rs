//! The plan as files: each has a name of its own, and none is overwritten.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use thiserror::Error;

use super::super::inventory::workload::Form;
use super::super::plan::{Move, Plan};
use super::{commands, json, manifest, yaml};
use crate::azure::write;
use crate::command::{Command, Script};
use crate::facts::Gap;

/// The files cannot be written.
#[derive(Debug, Error)]
pub enum FilesError {
    /// There are files of an earlier plan, whose way back may still be needed.
    #[error(
        "{0} is not empty: write the plan to a new directory, and keep the old one for its way back"
    )]
    NotEmpty(String),
    /// The directory or a file in it.
    #[error("{0} cannot be written: {1}")]
    Io(String, io::Error),
    /// Never in practice.
    #[error("the plan is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes all files into an empty directory, which is made if it is not there.
///
/// # Errors
///
/// When the directory is not empty, or cannot be written.
pub fn write(directory: &Path, plan: &Plan, gaps: &[Gap]) -> Result<(), FilesError> {
    let failed = |error| FilesError::Io(directory.display().to_string(), error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    if std::fs::read_dir(directory)
        .map_err(failed)?
        .next()
        .is_some()
    {
        return Err(FilesError::NotEmpty(directory.display().to_string()));
    }
    for (name, text) in all(plan, gaps)? {
        let file = directory.join(&name);
        let failed = |error| FilesError::Io(file.display().to_string(), error);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::write(&file, text).map_err(failed)?;
    }
    Ok(())
}

/// The patches of all workloads that can move, as YAML documents.
#[must_use]
pub fn patches(plan: &Plan) -> String {
    let documents = patched(plan).map(|it| format!("---\n{}", yaml(&manifest::patch(it))));
    documents.collect()
}

fn all(plan: &Plan, gaps: &[Gap]) -> Result<Vec<(String, String)>, FilesError> {
    let accounts = plan.accounts.iter().flat_map(manifest::account);
    let accounts = accounts.map(|it| format!("---\n{}", yaml(&it))).collect();
    let wanted = &plan.wanted;
    let mut credentials = Script::strict();
    credentials.append(&write::az(wanted));
    let mut files = vec![
        ("plan.json".to_owned(), json::write(plan, gaps)?),
        ("move.sh".to_owned(), commands::forward(plan).to_string()),
        ("back.sh".to_owned(), commands::back(plan).to_string()),
        ("service-accounts.yaml".to_owned(), accounts),
        (
            "federated-credentials.sh".to_owned(),
            credentials.to_string(),
        ),
        (
            "federated-credentials.tf".to_owned(),
            write::terraform(wanted),
        ),
        (
            "federated-credentials.bicep".to_owned(),
            write::bicep(wanted),
        ),
        ("federated-credentials.yaml".to_owned(), write::aso(wanted)),
    ];
    for (directory, object) in [
        ("patches", manifest::patch as fn(&Move) -> Value),
        ("back", manifest::back),
    ] {
        let mut names = Vec::new();
        for it in patched(plan) {
            let name = name(it);
            files.push((format!("{directory}/{name}"), with_note(it, &object(it))));
            names.push(json!({ "path": name }));
        }
        let component = json!({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "patches": names,
        });
        files.push((format!("{directory}/kustomization.yaml"), yaml(&component)));
    }
    Ok(files)
}

fn with_note(it: &Move, object: &Value) -> String {
    let patch = Command::new("kubectl patch");
    let patch = it.workload.object.named_in(patch).text("--patch-file FILE");
    format!("# A strategic merge patch: {patch}\n{}", yaml(object))
}

/// Workloads that a patch can change.
fn patched(plan: &Plan) -> impl Iterator<Item = &Move> {
    let moves = plan.moves.iter().filter(|it| it.can_move());
    moves.filter(|it| !matches!(it.workload.form, Form::Pod | Form::Job))
}

/// Names of objects have no underscore, so two of them never make the same file name.
fn name(it: &Move) -> String {
    let object = &it.workload.object;
    let group = it.workload.place.version.replace('/', "_");
    let kind = object.kind.to_ascii_lowercase();
    format!("{}_{group}_{kind}_{}.yaml", object.namespace, object.name)
}
