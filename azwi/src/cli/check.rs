//! `azwi check`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use contract::EXIT_USAGE;
use contract::value::Authority;

use super::connection::{Cluster, Connection};
use super::credentials::{self, Source};
use super::manifests;
use super::output::{self, EXIT_NOT_CHECKED, Output};
use super::target::Target;
use super::terminal::{is_colour_wanted, print_mistake};
use crate::azure::Inventory;
use crate::checks::{self, Finding};
use crate::facts::Facts;
use crate::facts::manifest::Manifests;
use crate::facts::read::{self, Scope, Wanted};
use crate::report::text::Style;
use crate::report::{Checked, Report, json, text};

/// Check the installation and every workload, or one
///
/// Exit codes: 0 nothing is wrong, 1 something is, 2 nothing is but not all could be checked, 64 wrong usage.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One workload, such as deployment/shop, with its token
    #[arg(value_name = "KIND/NAME")]
    target: Option<Target>,
    /// Before the chart is installed: the API server's version, the rights to install, and whether the pods would be
    /// admitted as the webhook changes them
    #[arg(long, conflicts_with_all = ["target", "filename"])]
    pre: bool,
    /// The repository of the images to come, the chart's image.repository
    #[arg(long, requires = "pre", default_value = read::REPOSITORY)]
    repository: String,
    /// Manifests before they are applied: a file, a folder, - for standard input. No cluster is needed. Repeatable
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        conflicts_with_all = ["target", "credentials", "exchange", "exec", "no_dry_run", "kubeconfig", "context"]
    )]
    filename: Vec<String>,
    /// One namespace [all, or that of the context for one workload]. With -f, that of objects that name none [default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to write the findings
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Only these categories, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    category: Vec<Category>,
    /// Federated credentials and identities, as az writes them in JSON, - for standard input; CLIENT_ID=FILE where they do
    /// not name their application
    #[arg(long, value_name = "FILE")]
    credentials: Vec<Source>,
    /// Exchange the workload's token at Entra, once, or five times in 20 s when Entra misses the credential
    #[arg(long, requires = "target")]
    exchange: bool,
    /// Read the token file in a running container of the workload, with kubectl exec and the container's own cat
    #[arg(long, requires = "target")]
    exec: bool,
    /// The authority of the exchange [the webhook's]
    #[arg(long, value_name = "URL", requires = "exchange")]
    authority: Option<Authority>,
    /// The resource of the exchange [Azure Resource Manager]
    #[arg(long, value_name = "URI", requires = "exchange")]
    resource: Option<String>,
    /// Do not create a pod as a dry run, which needs the right to create pods
    #[arg(long)]
    no_dry_run: bool,
    /// Also write what is only worth knowing [on for one workload]
    #[arg(long)]
    information: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The letters of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Category {
    /// Installation
    #[value(name = "I")]
    Installation,
    /// Workload
    #[value(name = "W")]
    Workload,
    /// Service account
    #[value(name = "S")]
    ServiceAccount,
    /// Federated credential
    #[value(name = "F")]
    FederatedCredential,
    /// Token and issuer
    #[value(name = "T")]
    Token,
}

impl Category {
    fn letter(self) -> char {
        match self {
            Self::Installation => 'I',
            Self::Workload => 'W',
            Self::ServiceAccount => 'S',
            Self::FederatedCredential => 'F',
            Self::Token => 'T',
        }
    }
}

/// Runs the check.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    if !arguments.filename.is_empty() {
        return match check_manifests(arguments) {
            Ok(report) => write(arguments, &report),
            Err(error) => {
                print_mistake(&error);
                ExitCode::from(EXIT_USAGE)
            }
        };
    }
    let azure = match credentials::read(&arguments.credentials) {
        Ok(azure) => azure,
        Err(error) => {
            print_mistake(&error);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match arguments.connection.run(|it| check(arguments, azure, it)) {
        Ok(report) => write(arguments, &report),
        Err(error) => {
            print_mistake(&error);
            ExitCode::from(EXIT_NOT_CHECKED)
        }
    }
}

async fn check(arguments: &Arguments, azure: Option<Inventory>, cluster: Cluster) -> Report {
    let target = arguments.target.as_ref();
    let of_context = target.map(|_| cluster.namespace);
    let scope = Scope {
        namespace: arguments.namespace.clone().or(of_context),
        target: target.map(|it| (it.kind.clone(), it.name.clone())),
        dry_run: !arguments.no_dry_run,
        exchange: arguments.exchange.then(|| Wanted {
            authority: arguments.authority.clone(),
            resource: arguments.resource.clone(),
        }),
        exec: arguments.exec.then(|| arguments.connection.of_kubectl()),
        published: true,
        preparation: arguments.pre.then(|| arguments.repository.clone()),
        issuer: azure.is_some(),
    };
    let mut facts = read::read(cluster.client, &scope).await;
    facts.azure = azure;
    let gaps = checks::gaps(&facts);
    facts.gaps.extend(gaps);
    let findings = checks::all(&facts);
    report(arguments, findings, facts)
}

/// Checks manifests. The error is a sentence.
fn check_manifests(arguments: &Arguments) -> Result<Report, String> {
    let files = manifests::read(&arguments.filename).map_err(|it| it.to_string())?;
    let namespace = arguments.namespace.as_deref().unwrap_or("default");
    let manifests = Manifests::read(&files, namespace).map_err(|it| it.to_string())?;
    let findings = checks::of_manifests(&manifests);
    Ok(report(arguments, findings, manifests.facts))
}

fn report(arguments: &Arguments, mut findings: Vec<Finding>, facts: Facts) -> Report {
    let letters: Vec<char> = arguments.category.iter().map(|it| it.letter()).collect();
    findings.retain(|it| letters.is_empty() || letters.contains(&it.code.category()));
    let accounts = facts.accounts.iter().flatten();
    Report {
        findings,
        checked: Checked {
            workloads: facts.workloads.len(),
            pods: facts.pods.len(),
            accounts: accounts.filter(|(_, it)| !it.is_assumed).count(),
        },
        gaps: facts.gaps,
    }
}

fn write(arguments: &Arguments, report: &Report) -> ExitCode {
    let style = Style {
        is_coloured: io::stdout().is_terminal() && is_colour_wanted(),
        with_information: arguments.information || arguments.target.is_some(),
    };
    let written = match arguments.output {
        Output::Text => {
            let mut out = String::new();
            text::write(&mut out, report, style).ok().map(|()| out)
        }
        Output::Json => json::write(report).ok().map(|it| it + "\n"),
    };
    output::finish(written, report)
}
