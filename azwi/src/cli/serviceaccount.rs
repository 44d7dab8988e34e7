//! `azwi serviceaccount create|delete` of upstream: the commands that do the same.
//!
//! Upstream writes to Azure itself. This program writes nothing there, so these names print the commands and
//! fail: a script must not go on as if they had run.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use contract::token::DEFAULT_AUDIENCE;
use contract::{EXIT_USAGE, annotation};

use crate::azure::plan::{Wanted, WantedIdentity, subject};
use crate::azure::write::{creation, quoted};

/// Upstream's commands for one service account: the commands of az and kubectl to use instead
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the commands that create an application, its service account, federated credential and role
    Create(Flags),
    /// Print the commands that delete them
    Delete(Flags),
}

/// Upstream's flags.
#[derive(Clone, Debug, Default, Args)]
struct Flags {
    #[command(subcommand)]
    phase: Option<PhaseCommand>,
    #[arg(long, global = true, value_name = "NAME")]
    service_account_name: Option<String>,
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    service_account_namespace: String,
    #[arg(long, global = true, value_name = "URL")]
    service_account_issuer_url: Option<String>,
    #[arg(long, global = true, value_name = "DURATION")]
    service_account_token_expiration: Option<String>,
    #[arg(long, global = true, value_name = "NAME")]
    aad_application_name: Option<String>,
    #[arg(long, global = true, value_name = "GUID")]
    aad_application_client_id: Option<String>,
    #[arg(long, global = true, value_name = "GUID")]
    aad_application_object_id: Option<String>,
    #[arg(long, global = true, value_name = "NAME")]
    service_principal_name: Option<String>,
    #[arg(long, global = true, value_name = "GUID")]
    service_principal_object_id: Option<String>,
    #[arg(long, global = true, value_name = "SCOPE")]
    azure_scope: Option<String>,
    #[arg(long, global = true, value_name = "ROLE")]
    azure_role: Option<String>,
    #[arg(long, global = true, value_name = "ID")]
    role_assignment_id: Option<String>,
    #[arg(long, global = true, value_enum, value_delimiter = ',')]
    skip_phases: Vec<Phase>,
    #[command(flatten)]
    login: Login,
}

/// How upstream logs in, for which `az login` stands here.
#[derive(Clone, Debug, Default, Args)]
struct Login {
    #[arg(long, global = true, hide = true)]
    azure_env: Option<String>,
    #[arg(short, long, global = true, hide = true)]
    subscription_id: Option<String>,
    #[arg(long, global = true, hide = true)]
    auth_method: Option<String>,
    #[arg(long, global = true, hide = true)]
    client_id: Option<String>,
    #[arg(long, global = true, hide = true)]
    client_secret: Option<String>,
    #[arg(long, global = true, hide = true)]
    certificate_path: Option<String>,
    #[arg(long, global = true, hide = true)]
    private_key_path: Option<String>,
    #[arg(long, global = true, hide = true)]
    debug: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum PhaseCommand {
    /// Print the commands of one phase
    Phase {
        /// The phase
        phase: Phase,
    },
}

/// Upstream's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    #[value(alias = "app")]
    AadApplication,
    #[value(alias = "sa")]
    ServiceAccount,
    #[value(alias = "fi")]
    FederatedIdentity,
    #[value(alias = "ra")]
    RoleAssignment,
}

/// Prints the commands.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (verb, flags, lines) = match &arguments.command {
        Command::Create(flags) => ("create", flags, creations(flags)),
        Command::Delete(flags) => ("delete", flags, deletions(flags)),
    };
    match lines {
        Ok(lines) => {
            super::print(lines.concat().as_bytes());
            eprintln!(
                "azwi: serviceaccount {verb} does not write to Azure here. The commands above do the same, after az login; azwi federate \
                 does it for all service accounts"
            );
            if flags.login.client_secret.is_some() {
                eprintln!(
                    "azwi: --client-secret is not used. It may be in the history of the shell"
                );
            }
        }
        Err(flag) => eprintln!("azwi: {flag} is required"),
    }
    ExitCode::from(EXIT_USAGE)
}

impl Flags {
    fn has(&self, phase: Phase) -> bool {
        match &self.phase {
            Some(PhaseCommand::Phase { phase: only }) => *only == phase,
            None => !self.skip_phases.contains(&phase),
        }
    }

    /// Namespace and name.
    fn account(&self) -> Result<(&str, &str), &'static str> {
        let name = self.service_account_name.as_deref();
        let name = name.ok_or("--service-account-name")?;
        Ok((&self.service_account_namespace, name))
    }

    fn issuer(&self) -> Result<&str, &'static str> {
        let issuer = self.service_account_issuer_url.as_deref();
        issuer.ok_or("--service-account-issuer-url")
    }

    fn application_name(&self) -> Result<String, &'static str> {
        if let Some(name) = &self.aad_application_name {
            return Ok(name.clone());
        }
        let (namespace, name) = self.account()?;
        Ok(format!("{namespace}-{name}"))
    }

    /// A line that sets the variable `client_id`.
    fn client_id(&self) -> Result<String, &'static str> {
        let id = self.aad_application_client_id.as_ref();
        if let Some(id) = id.or(self.aad_application_object_id.as_ref()) {
            return Ok(format!(
                "client_id=$(az ad app show --id={} --query=appId --output=tsv)\n",
                quoted(id)
            ));
        }
        Ok(format!(
            "client_id=$(az ad app list --filter={} --query='[0].appId' --output=tsv)\n",
            quoted(&named(&self.application_name()?))
        ))
    }
}

fn creations(flags: &Flags) -> Result<Vec<String>, &'static str> {
    let mut lines = vec![if flags.has(Phase::AadApplication) {
        format!(
            "client_id=$(az ad app create --display-name={} --query=appId --output=tsv)\n\
             az ad sp create --id=\"$client_id\" --output=none\n",
            quoted(&flags.application_name()?)
        )
    } else {
        flags.client_id()?
    }];
    if flags.has(Phase::ServiceAccount) {
        let (namespace, name) = flags.account()?;
        let (namespace, name) = (quoted(namespace), quoted(name));
        lines.push(format!(
            "kubectl create serviceaccount {name} --namespace={namespace}\n\
             kubectl annotate serviceaccount {name} --namespace={namespace} {}=\"$client_id\"\n",
            annotation::CLIENT_ID
        ));
        if let Some(duration) = &flags.service_account_token_expiration {
            let seconds =
                seconds(duration).ok_or("--service-account-token-expiration such as 1h")?;
            lines.push(format!(
                "kubectl annotate serviceaccount {name} --namespace={namespace} {}={seconds}\n",
                annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION
            ));
        }
    }
    if flags.has(Phase::FederatedIdentity) {
        let identity = WantedIdentity {
            client_id: CLIENT_ID.to_owned(),
            ..WantedIdentity::default()
        };
        let wanted = Wanted::new(
            identity,
            flags.issuer()?,
            flags.account()?,
            DEFAULT_AUDIENCE,
        );
        let line = creation(&wanted).to_string();
        lines.push(line.replace(&format!("--id={CLIENT_ID}"), "--id=\"$client_id\"") + "\n");
    }
    if flags.has(Phase::RoleAssignment) {
        let scope = flags.azure_scope.as_deref().ok_or("--azure-scope")?;
        let role = flags.azure_role.as_deref().ok_or("--azure-role")?;
        let principal = match (
            &flags.service_principal_object_id,
            &flags.service_principal_name,
        ) {
            (Some(id), _) => quoted(id),
            (None, Some(name)) => format!(
                "\"$(az ad sp list --filter={} --query='[0].id' --output=tsv)\"",
                quoted(&named(name))
            ),
            (None, None) => {
                "\"$(az ad sp show --id=\"$client_id\" --query=id --output=tsv)\"".to_owned()
            }
        };
        lines.push(format!(
            "az role assignment create --assignee-object-id={principal} --assignee-principal-type=ServicePrincipal \
             --role={} --scope={}\n",
            quoted(role),
            quoted(scope)
        ));
    }
    Ok(lines)
}

fn deletions(flags: &Flags) -> Result<Vec<String>, &'static str> {
    let mut lines = Vec::new();
    if flags.has(Phase::RoleAssignment) {
        let id = flags
            .role_assignment_id
            .as_deref()
            .ok_or("--role-assignment-id")?;
        lines.push(format!("az role assignment delete --ids={}\n", quoted(id)));
    }
    let needs_application = flags.has(Phase::FederatedIdentity) || flags.has(Phase::AadApplication);
    if needs_application {
        lines.push(flags.client_id()?);
    }
    if flags.has(Phase::FederatedIdentity) {
        let (namespace, name) = flags.account()?;
        // In JMESPath, a backslash and a quote escape nothing that these can have.
        let query = format!(
            "[?issuer=='{}' && subject=='{}'].name | [0]",
            flags.issuer()?.replace(['\'', '\\'], ""),
            subject(namespace, name).replace(['\'', '\\'], "")
        );
        lines.push(format!(
            "az ad app federated-credential delete --id=\"$client_id\" --federated-credential-id=\"$(az ad app federated-credential \
             list --id=\"$client_id\" --query={} --output=tsv)\"\n",
            quoted(&query)
        ));
    }
    if flags.has(Phase::ServiceAccount) {
        let (namespace, name) = flags.account()?;
        lines.push(format!(
            "kubectl delete serviceaccount {} --namespace={}\n",
            quoted(name),
            quoted(namespace)
        ));
    }
    if flags.has(Phase::AadApplication) {
        lines.push("az ad app delete --id=\"$client_id\"\n".to_owned());
    }
    Ok(lines)
}

/// The OData filter for a name. `--display-name` finds every name that begins so.
fn named(name: &str) -> String {
    format!("displayName eq '{}'", name.replace('\'', "''"))
}

/// The seconds of a duration as upstream writes it: `1h`, `1h30m`, `3600s`.
fn seconds(duration: &str) -> Option<u32> {
    let mut total = 0_u32;
    let mut number = String::new();
    for character in duration.chars() {
        let factor = match character {
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            digit => {
                number.push(digit);
                continue;
            }
        };
        let value: u32 = number.parse().ok()?;
        total = total.checked_add(value.checked_mul(factor)?)?;
        number.clear();
    }
    (number.is_empty() && total > 0).then_some(total)
}

/// Stands for the variable in a command.
const CLIENT_ID: &str = "CLIENT_ID";

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Flags {
        Flags {
            service_account_name: Some("shop".to_owned()),
            service_account_namespace: "prod".to_owned(),
            service_account_issuer_url: Some("https://issuer.example.com/".to_owned()),
            service_account_token_expiration: Some("1h30m".to_owned()),
            azure_role: Some("Key Vault Secrets User".to_owned()),
            azure_scope: Some("/subscriptions/s".to_owned()),
            ..Flags::default()
        }
    }

    #[test]
    fn creation_has_every_phase_in_order() {
        let text = creations(&flags()).unwrap().concat();
        let starts: Vec<&str> = text
            .lines()
            .map(|it| it.split(" --").next().unwrap())
            .collect();
        assert_eq!(
            starts,
            [
                "client_id=$(az ad app create",
                "az ad sp create",
                "kubectl create serviceaccount shop",
                "kubectl annotate serviceaccount shop",
                "kubectl annotate serviceaccount shop",
                "az ad app federated-credential create",
                "az role assignment create",
            ],
            "{text}"
        );
        assert!(
            text.contains("service-account-token-expiration=5400\n"),
            "{text}"
        );
        assert!(
            text.contains(" --id=\"$client_id\" --parameters='{"),
            "{text}"
        );
        assert!(text.contains(" --role='Key Vault Secrets User' "), "{text}");
    }

    #[test]
    fn one_phase_and_skipped_phases() {
        let phase = Phase::FederatedIdentity;
        let mut one = flags();
        one.phase = Some(PhaseCommand::Phase { phase });
        let text = creations(&one).unwrap().concat();
        assert_eq!(text.lines().count(), 2, "{text}");
        let mut skipped = flags();
        skipped.aad_application_name = Some("Joe's app".to_owned());
        skipped.skip_phases = vec![Phase::RoleAssignment, Phase::AadApplication];
        let text = deletions(&skipped).unwrap().concat();
        assert_eq!(text.lines().count(), 3, "{text}");
        let filter = quoted("displayName eq 'Joe''s app'");
        assert!(text.contains(&format!("--filter={filter}")), "{text}");
        assert!(
            !text.contains("az role") && !text.contains("az ad app delete"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_flag_is_named_as_upstream_does() {
        for (change, flag) in [
            (
                (|it| it.service_account_name = None) as fn(&mut Flags),
                "--service-account-name",
            ),
            (
                |it| it.service_account_issuer_url = None,
                "--service-account-issuer-url",
            ),
            (|it| it.azure_role = None, "--azure-role"),
        ] {
            let mut flags = flags();
            change(&mut flags);
            assert_eq!(creations(&flags).unwrap_err(), flag);
        }
        assert_eq!(deletions(&flags()).unwrap_err(), "--role-assignment-id");
    }

    #[test]
    fn durations_are_go_s() {
        for (text, expected) in [
            ("1h0m0s", Some(3_600)),
            ("24h", Some(86_400)),
            ("90m", Some(5_400)),
            ("3600", None),
            ("", None),
            ("99999999999h", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
