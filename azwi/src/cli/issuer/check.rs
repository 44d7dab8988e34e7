//! `azwi issuer check`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use webhook::inject::printable;

use crate::cli::connection::{Cluster, Connection};
use crate::cli::{EXIT_FINDINGS, EXIT_NOT_CHECKED, is_colour_wanted, print};
use crate::facts::Gap;
use crate::issuer::check::{Observed, check};
use crate::issuer::fetch::{FetchError, Published, published};
use crate::issuer::read::{self, ReadError};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Runs the check.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.connection.run(|it| observe(arguments, it)) {
        Ok((observed, gaps)) => {
            let report = Report {
                findings: check(&observed),
                gaps,
                ..Report::default()
            };
            write(arguments, &observed, &report)
        }
        Err(error) => {
            eprintln!("azwi: {error}");
            ExitCode::from(EXIT_NOT_CHECKED)
        }
    }
}

async fn observe(arguments: &Arguments, cluster: Cluster) -> (Observed, Vec<Gap>) {
    let Cluster { client, namespace } = cluster;
    let namespace = arguments.namespace.as_ref().unwrap_or(&namespace);
    let mut gaps = Vec::new();
    let mut observed = Observed::default();
    let account = &arguments.service_account;
    match read::token(&client, namespace, account).await {
        Ok(token) => observed.token = Some(token),
        Err(error) => {
            let resource = "serviceaccounts/token".to_owned();
            gaps.push(gap("create", resource, Some(namespace), &error));
        }
    }
    match read::discovery(&client).await {
        Ok(discovery) => observed.discovery = Some(discovery),
        Err(error) => {
            let path = "/.well-known/openid-configuration".to_owned();
            gaps.push(gap("get", path, None, &error));
        }
    }
    match read::keys(&client).await {
        Ok(keys) => observed.keys = Some(keys),
        Err(error) => gaps.push(gap("get", "/openid/v1/jwks".to_owned(), None, &error)),
    }
    let of_token = observed.token.as_ref().map(|it| it.issuer.clone());
    let of_document = observed.discovery.as_ref().map(|it| it.issuer.clone());
    let issuer = arguments.issuer.clone().or(of_token).or(of_document);
    let Some(issuer) = issuer else {
        return (observed, gaps);
    };
    if issuer.starts_with("https://") {
        match published(&issuer).await {
            Ok(published) => observed.published = Some(published),
            Err(error) => gaps.push(outside_gap(&issuer, &error)),
        }
    }
    observed.issuer = issuer;
    (observed, gaps)
}

fn gap(verb: &'static str, resource: String, namespace: Option<&str>, error: &ReadError) -> Gap {
    Gap {
        verb,
        resource,
        namespace: namespace.map(str::to_owned),
        is_forbidden: error.is_forbidden(),
        reason: error.to_string(),
    }
}

fn outside_gap(issuer: &str, error: &FetchError) -> Gap {
    Gap {
        verb: "get",
        resource: issuer.to_owned(),
        namespace: None,
        is_forbidden: false,
        reason: error.to_string(),
    }
}

fn write(arguments: &Arguments, observed: &Observed, report: &Report) -> ExitCode {
    let written = match arguments.output {
        Output::Json => json::write(report).ok().map(|it| it + "\n"),
        Output::Text => {
            let style = Style {
                is_coloured: io::stdout().is_terminal() && is_colour_wanted(),
                with_information: true,
            };
            let mut out = String::new();
            let findings = text::write_findings(&mut out, report, style);
            findings.ok().map(|()| out + &summary(observed))
        }
    };
    let Some(out) = written else {
        return ExitCode::from(EXIT_NOT_CHECKED);
    };
    print(out.as_bytes());
    if report.has_findings() {
        ExitCode::from(EXIT_FINDINGS)
    } else if report.gaps.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_NOT_CHECKED)
    }
}

fn summary(observed: &Observed) -> String {
    let count = |keys: usize| keys.to_string();
    let published = match &observed.published {
        Some(Published::Documents { keys, .. }) => count(keys.keys.len()),
        _ => "no".to_owned(),
    };
    let cluster = observed.keys.as_ref();
    let cluster = cluster.map_or_else(|| "unknown".to_owned(), |it| count(it.keys.len()));
    format!(
        "issuer {}: {published} keys published, {cluster} in the cluster\n",
        printable(&observed.issuer)
    )
}
