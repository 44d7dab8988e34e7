//! `azwi podidentity detect` of upstream, which is `azwi migrate plan` here.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use contract::{EXIT_USAGE, annotation};

use super::terminal::note;
use crate::command::Command as Printed;

/// Upstream's name for azwi migrate
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Detect(Detect),
}

/// Say which command of azwi migrate to use instead
#[derive(Debug, Args)]
struct Detect {
    #[arg(long, default_value = "default")]
    namespace: String,
    #[arg(short, long)]
    output_dir: Option<String>,
    #[arg(short, long)]
    proxy_port: Option<u16>,
    #[arg(long, value_name = "DURATION")]
    service_account_token_expiration: Option<String>,
    #[arg(long)]
    tenant_id: Option<String>,
}

/// Says what to use, and fails: a script must not go on as if files were written.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Detect(detect) = &arguments.command;
    note(sentences(detect).trim_end());
    ExitCode::from(EXIT_USAGE)
}

fn sentences(detect: &Detect) -> String {
    let mut plan =
        Printed::new("azwi migrate plan").arg(&format!("--namespace={}", detect.namespace));
    if let Some(directory) = &detect.output_dir {
        plan = plan.arg(&format!("--write={directory}"));
    }
    let mut text = format!("azwi: podidentity detect is part of migrate: {plan}\n");
    for (flag, is_given, annotation) in [
        (
            "--proxy-port",
            detect.proxy_port.is_some(),
            annotation::PROXY_SIDECAR_PORT,
        ),
        (
            "--service-account-token-expiration",
            detect.service_account_token_expiration.is_some(),
            annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
        ),
        (
            "--tenant-id",
            detect.tenant_id.is_some(),
            annotation::TENANT_ID,
        ),
    ] {
        if is_given {
            text.push_str(&format!("azwi: {flag} is the annotation {annotation}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates_each_flag() {
        let text = sentences(&Detect {
            namespace: "prod".to_owned(),
            output_dir: Some("out".to_owned()),
            proxy_port: Some(8001),
            service_account_token_expiration: None,
            tenant_id: Some("t".to_owned()),
        });
        assert!(
            text.contains("azwi migrate plan --namespace=prod --write=out\n"),
            "{text}"
        );
        assert!(text.contains(
            "--proxy-port is the annotation azure.workload.identity/proxy-sidecar-port\n"
        ));
        assert!(!text.contains("expiration"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
