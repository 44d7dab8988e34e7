//! `azwi federate`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use contract::EXIT_USAGE;
use contract::token::DEFAULT_AUDIENCE;
use webhook::inject::printable;

use super::connection::Connection;
use super::credentials::{self, Source};
use super::output::{EXIT_FINDINGS, EXIT_NOT_CHECKED};
use super::terminal::{note, print, print_mistake};
use crate::azure::{Inventory, write as outputs};
use crate::facts::read::{self, Federation};
use crate::federate::{Input, Plan, apply, plan, write};
use crate::report::text::write_gaps;

/// Compare service accounts with the federated credentials that Azure has, and write what is missing
///
/// Reads the output of az (az identity list, az identity federated-credential list, az ad app list, az ad app
/// federated-credential list, one after the other) and changes nothing unless --apply is given.
///
/// Exit codes: 0 nothing is to do, 1 something is, 2 not all could be compared, 64 wrong usage.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Federated credentials and identities, as az writes them in JSON, - for standard input. GUID=FILE with the client id where
    /// they do not name their application [-]
    #[arg(long, value_name = "FILE")]
    credentials: Vec<Source>,
    /// One namespace [all of them]
    #[arg(short, long)]
    namespace: Option<String>,
    /// The issuer of the cluster's tokens [that of its discovery document]
    #[arg(long, value_name = "URL", value_parser = issuer)]
    issuer: Option<String>,
    /// The issuer that the cluster will have: what it needs is added beside that of the present one
    #[arg(long, value_name = "URL", value_parser = issuer)]
    new_issuer: Option<String>,
    /// The audience of tokens [that of the webhook]
    #[arg(long, value_parser = audience)]
    audience: Option<String>,
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Write what is missing to Azure, with az, one after the other. Nothing is removed
    #[arg(long, conflicts_with = "output")]
    apply: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    /// Commands of the Azure CLI
    Az,
    Terraform,
    Bicep,
    /// Objects of Azure Service Operator
    Aso,
}

/// Runs the comparison.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let inventory = match inventory(arguments) {
        Ok(inventory) => inventory,
        Err(sentence) => {
            print_mistake(&sentence);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let namespace = arguments.namespace.as_deref();
    let needs_issuer = arguments.issuer.is_none();
    let read = arguments
        .connection
        .run(async |it| read::federation(it.client, namespace, needs_issuer).await);
    let federation = match read {
        Ok(federation) => federation,
        Err(error) => {
            print_mistake(&error);
            return ExitCode::from(EXIT_NOT_CHECKED);
        }
    };
    let Some(plan) = planned(arguments, &inventory, &federation) else {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write_gaps(&mut text, &federation.gaps);
        note(text.trim_end());
        return ExitCode::from(EXIT_NOT_CHECKED);
    };
    write_plan(arguments, &plan)
}

fn planned(arguments: &Arguments, inventory: &Inventory, federation: &Federation) -> Option<Plan> {
    let issuer = arguments
        .issuer
        .as_deref()
        .or(federation.issuer.as_deref())?;
    let audience = arguments
        .audience
        .as_deref()
        .or(federation.audience.as_deref());
    Some(plan(&Input {
        accounts: federation.accounts.as_ref()?,
        namespace: arguments.namespace.as_deref(),
        inventory,
        issuer,
        new_issuer: arguments.new_issuer.as_deref().filter(|it| *it != issuer),
        audience: audience.unwrap_or(DEFAULT_AUDIENCE),
    }))
}

fn write_plan(arguments: &Arguments, plan: &Plan) -> ExitCode {
    let written = match arguments.output {
        Output::Text => {
            let mut out = String::new();
            write::text(&mut out, plan).ok().map(|()| out)
        }
        Output::Json => write::json(plan).ok().map(|it| it + "\n"),
        Output::Az => Some(write::az(plan).to_string()),
        Output::Terraform => Some(outputs::terraform(&plan.wanted())),
        Output::Bicep => Some(outputs::bicep(&plan.wanted())),
        Output::Aso => Some(outputs::aso(&plan.wanted())),
    };
    if !written.is_some_and(|it| print(it.as_bytes())) {
        return ExitCode::from(EXIT_NOT_CHECKED);
    }
    let is_written = if arguments.apply {
        apply_all(plan)
    } else {
        plan.changes.is_empty()
    };
    if !is_written || plan.has_open_faults() {
        ExitCode::from(EXIT_FINDINGS)
    } else if plan.ownerless > 0 {
        ExitCode::from(EXIT_NOT_CHECKED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Writes each change, up to the first that fails: the next one would fail in general for the same reason.
fn apply_all(plan: &Plan) -> bool {
    let all = plan.changes.len();
    for (nth, change) in plan.changes.iter().enumerate() {
        let wanted = &change.wanted;
        let (name, subject) = (printable(&wanted.name), printable(&wanted.subject));
        let identity = printable(&wanted.identity.name);
        match apply::apply("az", change) {
            Ok(()) => {
                let done =
                    format!("written: federated credential {name} of {identity}: {subject}\n");
                print(done.as_bytes());
            }
            Err(error) => {
                print_mistake(&format!(
                    "federated credential {name} of {identity}: {error}\n{nth} of {all} are written. Run this again: what \
                     exists is left as it is"
                ));
                return false;
            }
        }
    }
    true
}

fn inventory(arguments: &Arguments) -> Result<Inventory, String> {
    let standard_input = [Source::standard_input()];
    let sources = match arguments.credentials.as_slice() {
        [] if io::stdin().is_terminal() => return Err(NO_INPUT.to_owned()),
        [] => &standard_input,
        sources => sources,
    };
    let inventory = credentials::read(sources).map_err(|it| printable(&it.to_string()))?;
    inventory
        .filter(|it| *it != Inventory::default() || !arguments.credentials.is_empty())
        .ok_or_else(|| NO_INPUT.to_owned())
}

/// An issuer as Entra accepts it.
fn issuer(text: &str) -> Result<String, &'static str> {
    let is_one = text.starts_with("https://")
        && !text.contains(|it: char| it.is_whitespace() || "?#".contains(it));
    is_one
        .then(|| text.to_owned())
        .ok_or("an issuer is an https URL without query and fragment")
}

/// `az` reads a file for a value that begins with `@`.
fn audience(text: &str) -> Result<String, &'static str> {
    let is_one = !text.is_empty() && !text.starts_with('@') && !text.contains(char::is_whitespace);
    is_one
        .then(|| text.to_owned())
        .ok_or("an audience is one word that does not begin with @")
}

const NO_INPUT: &str = "give what Azure has, for example: (az identity list; az identity federated-credential list \
                        --resource-group <group> --identity-name <identity>) | azwi federate";
