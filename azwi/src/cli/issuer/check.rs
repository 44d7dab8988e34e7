//! `azwi issuer check`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use webhook::inject::printable;

use crate::checks;
use crate::cli::connection::{Cluster, Connection};
use crate::cli::output::{self, EXIT_NOT_CHECKED, Output};
use crate::cli::terminal::{is_colour_wanted, print_mistake};
use crate::facts::issuer::{Issuer, Published};
use crate::facts::read::{self, Read};
use crate::report::text::Style;
use crate::report::{Report, json, text};

/// Compare the issuer's documents, as the internet has them, with the cluster's and a new token
///
/// Exit codes: 0 nothing is wrong, 1 something is, 2 nothing is but not all could be checked, 64 wrong usage.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The issuer [that of a new token, or of the cluster's discovery document]
    #[arg(value_name = "URL")]
    issuer: Option<String>,
    /// The service account of the token
    #[arg(long, value_name = "NAME", default_value = "default")]
    service_account: String,
    /// Its namespace [that of the context]
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to write the findings
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Runs the check.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.connection.run(|it| observe(arguments, it)) {
        Ok(Read {
            issuer,
            token,
            gaps,
        }) => {
            let of_issuer = |it| checks::of_issuer(it, token.as_ref());
            let report = Report {
                findings: issuer.as_ref().map(of_issuer).unwrap_or_default(),
                gaps,
                ..Report::default()
            };
            write(arguments, &issuer.unwrap_or_default(), &report)
        }
        Err(error) => {
            print_mistake(&error);
            ExitCode::from(EXIT_NOT_CHECKED)
        }
    }
}

async fn observe(arguments: &Arguments, cluster: Cluster) -> Read {
    let Cluster { client, namespace } = cluster;
    let namespace = arguments.namespace.as_ref().unwrap_or(&namespace);
    let url = arguments.issuer.clone();
    read::issuer(client, url, namespace, &arguments.service_account).await
}

fn write(arguments: &Arguments, issuer: &Issuer, report: &Report) -> ExitCode {
    let written = match arguments.output {
        Output::Json => json::write(report).ok().map(|it| it + "\n"),
        Output::Text => {
            let style = Style {
                is_coloured: io::stdout().is_terminal() && is_colour_wanted(),
                with_information: true,
            };
            let mut out = String::new();
            let findings = text::write_findings(&mut out, report, style);
            findings.ok().map(|()| out + &summary(issuer))
        }
    };
    output::finish(written, report)
}

fn summary(issuer: &Issuer) -> String {
    if issuer.url.is_empty() {
        return String::new();
    }
    let count = |keys: usize| keys.to_string();
    let published = match &issuer.published {
        Some(Published::Documents { keys, .. }) => count(keys.keys.len()),
        _ => "no".to_owned(),
    };
    let cluster = issuer.keys.as_ref();
    let cluster = cluster.map_or_else(|| "unknown".to_owned(), |it| count(it.keys.len()));
    format!(
        "issuer {}: {published} keys published, {cluster} in the cluster\n",
        printable(&issuer.url)
    )
}
