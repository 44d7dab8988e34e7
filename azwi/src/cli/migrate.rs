//! `azwi migrate`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use contract::EXIT_USAGE;
use thiserror::Error;
use webhook::inject::printable;

use super::connection::{Cluster, Connection, ConnectionError};
use super::credentials::{self, CredentialsError, Source};
use super::output::{EXIT_FINDINGS, EXIT_NOT_CHECKED, Output, exit_code};
use super::target::Target;
use super::terminal::{print, print_mistake};
use crate::azure;
use crate::facts::object::Object;
use crate::migrate::apply::{self, Outcome};
use crate::migrate::inventory::{Inventory, read};
use crate::migrate::plan::{self, Options, Plan};
use crate::migrate::status::{self, State, logs};
use crate::migrate::write::{self, commands, files, json, text};

/// Move workloads from pod-managed identity (aad-pod-identity) to workload identity
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Plan(PlanArguments),
    Status(StatusArguments),
    Move(ChangeArguments),
    Back(ChangeArguments),
}

/// Say what to do for each workload, and change nothing
///
/// Exit codes: 0 every workload can move or has moved, 1 some are blocked, 2 not all could be read, 64 wrong usage.
#[derive(Debug, Args)]
struct PlanArguments {
    #[command(flatten)]
    common: Common,
    /// What to write
    #[arg(short, long, value_enum, default_value_t = PlanOutput::Text)]
    output: PlanOutput,
    /// Write everything into this directory, which has to be empty
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
}

/// Say how far each workload is, and what of pod-managed identity can be removed
///
/// Exit codes: 0 all are done, 1 not all, 2 not all could be read, 64 wrong usage.
#[derive(Debug, Args)]
struct StatusArguments {
    #[command(flatten)]
    common: Common,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Change the cluster, one workload at a time. Without --apply only say what would be done
///
/// Exit codes: 0 all went well, 1 a workload could not move and is as before, or has to be changed by hand, 2 the API server
/// refused a change, 64 wrong usage.
#[derive(Debug, Args)]
struct ChangeArguments {
    #[command(flatten)]
    common: Common,
    /// Change the cluster
    #[arg(long)]
    apply: bool,
    /// Seconds until a workload that does not get its token is rolled back
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

/// What all subcommands have.
#[derive(Debug, Args)]
struct Common {
    /// One workload, such as deployment/shop [every one]
    #[arg(value_name = "KIND/NAME")]
    target: Option<Target>,
    /// One namespace [all, or that of the context for one workload]
    #[arg(short, long)]
    namespace: Option<String>,
    /// What Azure has, as `az identity list` and `az identity federated-credential list` write it with `-o json`, one
    /// after another; - for standard input. Repeatable; CLIENT_ID=FILE for those of an application
    #[arg(long, value_name = "FILE")]
    credentials: Vec<Source>,
    /// The issuer of the cluster's tokens [that of a token of a workload's service account]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanOutput {
    /// A table, for people
    Text,
    /// Everything, for programs
    Json,
    /// Commands that make the service accounts and patch the workloads
    Kubectl,
    /// Commands that undo these
    Back,
    /// Strategic merge patches
    Patches,
    /// Commands that write the federated credentials
    Az,
    /// The federated credentials for Terraform
    Terraform,
    /// The federated credentials for Bicep
    Bicep,
    /// The federated credentials for Azure Service Operator
    Aso,
}

/// What cannot be read or written.
#[derive(Debug, Error)]
enum MigrateError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Files(#[from] files::FilesError),
    #[error(transparent)]
    Write(#[from] apply::WriteError),
    #[error("there is no workload {0} that uses pod-managed identity")]
    NoTarget(String),
}

impl MigrateError {
    fn code(&self) -> u8 {
        match self {
            Self::Credentials(_) => EXIT_USAGE,
            _ => EXIT_NOT_CHECKED,
        }
    }
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let result = match &arguments.command {
        Command::Plan(arguments) => run_plan(arguments),
        Command::Status(arguments) => run_status(arguments),
        Command::Move(arguments) => run_move(arguments),
        Command::Back(arguments) => run_back(arguments),
    };
    result.unwrap_or_else(|error| {
        print_mistake(&error);
        ExitCode::from(error.code())
    })
}

fn run_plan(arguments: &PlanArguments) -> Result<ExitCode, MigrateError> {
    let (inventory, plan) = arguments.common.plan()?;
    let gaps = &inventory.facts.gaps;
    if let Some(directory) = &arguments.write {
        files::write(directory, &plan, gaps)?;
    }
    let out = match arguments.output {
        PlanOutput::Text => {
            let mut out = String::new();
            // Writing to a String cannot fail.
            let _ = text::write(&mut out, &plan, gaps);
            out
        }
        PlanOutput::Json => json::write(&plan, gaps).map_err(files::FilesError::from)?,
        PlanOutput::Kubectl => commands::forward(&plan).to_string(),
        PlanOutput::Back => commands::back(&plan).to_string(),
        PlanOutput::Patches => files::patches(&plan),
        PlanOutput::Az => azure::write::az(&plan.wanted).to_string(),
        PlanOutput::Terraform => azure::write::terraform(&plan.wanted),
        PlanOutput::Bicep => azure::write::bicep(&plan.wanted),
        PlanOutput::Aso => azure::write::aso(&plan.wanted),
    };
    if !print(out.as_bytes()) {
        return Ok(ExitCode::from(EXIT_NOT_CHECKED));
    }
    let is_blocked = plan
        .moves
        .iter()
        .any(|it| !it.is_moved() && !it.blocks.is_empty());
    Ok(exit_code(is_blocked || !plan.findings.is_empty(), gaps))
}

fn run_status(arguments: &StatusArguments) -> Result<ExitCode, MigrateError> {
    let common = &arguments.common;
    let options = common.options()?;
    let (found, logs) = common.connection.run(async |cluster| {
        let client = cluster.client.clone();
        let found = common.read(cluster, &options).await;
        let logs = logs::read(client, &found.1).await;
        (found, logs)
    })?;
    let (mut inventory, plan) = common.only(found)?;
    let (logs, gaps) = logs;
    inventory.facts.gaps.extend(gaps);
    let gaps = &inventory.facts.gaps;
    let progress = status::status(&plan, &logs);
    let is_whole = gaps.is_empty() && common.namespace.is_none() && common.target.is_none();
    let removals = is_whole.then(|| status::removals(&inventory, &plan, &progress));
    let out = match arguments.output {
        Output::Text => {
            let mut out = String::new();
            // Writing to a String cannot fail.
            let _ = write::status::text(&mut out, &progress, removals.as_deref(), gaps);
            out
        }
        Output::Json => write::status::json(&progress, removals.as_deref(), gaps)
            .map_err(files::FilesError::from)?,
    };
    if !print(out.as_bytes()) {
        return Ok(ExitCode::from(EXIT_NOT_CHECKED));
    }
    let is_done = progress.iter().all(|it| it.state == State::Done);
    Ok(exit_code(!is_done, gaps))
}

fn run_move(arguments: &ChangeArguments) -> Result<ExitCode, MigrateError> {
    let common = &arguments.common;
    if !arguments.apply {
        let (inventory, plan) = common.plan()?;
        if !print(commands::forward(&plan).to_string().as_bytes()) {
            return Ok(ExitCode::from(EXIT_NOT_CHECKED));
        }
        print_mistake(
            &"nothing was changed. With --apply: one workload at a time, rolled back if it gets no token",
        );
        return Ok(exit_code(!plan.findings.is_empty(), &inventory.facts.gaps));
    }
    let options = common.options()?;
    let timeout = Duration::from_secs(arguments.timeout);
    common.connection.run(async |cluster| {
        let client = cluster.client.clone();
        let (_, plan) = common.only(common.read(cluster, &options).await)?;
        for finding in &plan.findings {
            print_mistake(&finding.cause);
        }
        // No workload would get a token.
        if !plan.findings.is_empty() {
            return Ok(ExitCode::from(EXIT_FINDINGS));
        }
        let mut is_well = true;
        for it in plan.moves.iter().filter(|it| !it.is_moved()) {
            if let Some(block) = it.blocks.first() {
                is_well &= report(
                    &it.workload.object,
                    &Outcome::ByHand(format!("blocked: {}", block.reason)),
                );
                continue;
            }
            let outcome = apply::forward(&client, &plan, it, &options, timeout).await?;
            is_well &= report(&it.workload.object, &outcome);
            if matches!(outcome, Outcome::RolledBack(_)) {
                break;
            }
        }
        Ok(exit_code(!is_well, &[]))
    })?
}

fn run_back(arguments: &ChangeArguments) -> Result<ExitCode, MigrateError> {
    let common = &arguments.common;
    let options = common.options()?;
    common.connection.run(async |cluster| {
        let client = cluster.client.clone();
        let (_, plan) = common.only(common.read(cluster, &options).await)?;
        let moved = plan.moves.into_iter().map(|it| it.workload);
        let moved: Vec<_> = moved.filter(|it| it.before.is_some()).collect();
        if !arguments.apply {
            for workload in &moved {
                print(format!("{}: goes back\n", workload.object).as_bytes());
            }
            print_mistake(&"nothing was changed. With --apply these workloads go back");
            return Ok(ExitCode::SUCCESS);
        }
        let mut is_well = true;
        for workload in &moved {
            let outcome = apply::back(&client, workload).await?;
            is_well &= report(&workload.object, &outcome);
        }
        for account in apply::accounts_back(&client, &moved).await? {
            print(format!("{account}: as before\n").as_bytes());
        }
        Ok(exit_code(!is_well, &[]))
    })?
}

/// Writes what happened to a workload, and whether that is well.
fn report(object: &Object, outcome: &Outcome) -> bool {
    let (line, is_well) = match outcome {
        Outcome::Moved(None) => ("moved".to_owned(), true),
        Outcome::Moved(Some(note)) => (format!("moved: {note}"), true),
        Outcome::Back => ("as before".to_owned(), true),
        Outcome::RolledBack(reason) => (format!("rolled back: {reason}"), false),
        Outcome::ByHand(reason) => (reason.clone(), false),
    };
    print(format!("{object}: {}\n", printable(&line)).as_bytes());
    is_well
}

impl Common {
    fn plan(&self) -> Result<(Inventory, Plan), MigrateError> {
        let options = self.options()?;
        let found = self.connection.run(|it| self.read(it, &options))?;
        self.only(found)
    }

    fn options(&self) -> Result<Options, MigrateError> {
        Ok(Options {
            azure: credentials::read(&self.credentials)?,
            issuer: self.issuer.clone(),
        })
    }

    async fn read(&self, cluster: Cluster, options: &Options) -> (Inventory, Plan) {
        let of_context = self.target.as_ref().map(|_| cluster.namespace);
        let namespace = self.namespace.clone().or(of_context);
        let needs_issuer = options.issuer.is_none();
        let mut inventory = read::read(cluster.client, namespace.as_deref(), needs_issuer).await;
        let plan = plan::plan(&mut inventory, options);
        (inventory, plan)
    }

    fn only(
        &self,
        (inventory, mut plan): (Inventory, Plan),
    ) -> Result<(Inventory, Plan), MigrateError> {
        if let Some(target) = &self.target {
            plan.keep(|it| it.kind.eq_ignore_ascii_case(&target.kind) && it.name == target.name);
            if plan.moves.is_empty() && plan.left.is_empty() {
                return Err(MigrateError::NoTarget(format!(
                    "{}/{}",
                    target.kind, target.name
                )));
            }
        }
        Ok((inventory, plan))
    }
}
