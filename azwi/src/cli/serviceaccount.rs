//! `azwi serviceaccount create|delete` of upstream: the commands that do the same.
//!
//! Upstream writes to Azure itself. This program writes nothing there, so these names print the commands and
//! fail: a script must not go on as if they had run.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use contract::token::DEFAULT_AUDIENCE;
use contract::{EXIT_USAGE, annotation};

use super::terminal::{print, print_mistake};
use crate::azure::plan::{Wanted, WantedIdentity, subject};
use crate::azure::write::creation;
use crate::command::{Command as Printed, Script};

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

/// How upstream logs in. The printed commands need `az login` instead.
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
            print(lines.to_string().as_bytes());
            print_mistake(&format!(
                "serviceaccount {verb} does not write to Azure here. The commands above do the same, after az login; azwi federate \
                 does it for all service accounts"
            ));
            if flags.login.client_secret.is_some() {
                print_mistake(
                    &"--client-secret is not used. It may be in the history of the shell",
                );
            }
        }
        Err(flag) => print_mistake(&format!("{flag} is required")),
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
    fn client_id(&self) -> Result<Printed, &'static str> {
        let id = self.aad_application_client_id.as_ref();
        if let Some(id) = id.or(self.aad_application_object_id.as_ref()) {
            return Ok(Printed::new("client_id=$(az ad app show")
                .arg(&format!("--id={id}"))
                .text("--query=appId --output=tsv)"));
        }
        Ok(Printed::new("client_id=$(az ad app list")
            .arg(&format!("--filter={}", named(&self.application_name()?)))
            .text("--query='[0].appId' --output=tsv)"))
    }
}

fn creations(flags: &Flags) -> Result<Script, &'static str> {
    let mut script = Script::default();
    if flags.has(Phase::AadApplication) {
        let create = Printed::new("client_id=$(az ad app create")
            .arg(&format!("--display-name={}", flags.application_name()?))
            .text("--query=appId --output=tsv)");
        script.push(&create);
        script.push(&Printed::new(
            "az ad sp create --id=\"$client_id\" --output=none",
        ));
    } else {
        script.push(&flags.client_id()?);
    }
    if flags.has(Phase::ServiceAccount) {
        create_account(&mut script, flags)?;
    }
    if flags.has(Phase::FederatedIdentity) {
        script.push(&create_credential(flags)?);
    }
    if flags.has(Phase::RoleAssignment) {
        script.push(&assign_role(flags)?);
    }
    Ok(script)
}

fn create_account(script: &mut Script, flags: &Flags) -> Result<(), &'static str> {
    let (namespace, name) = flags.account()?;
    let of_account = |text| {
        let command = Printed::new(text).operand(name);
        command.arg(&format!("--namespace={namespace}"))
    };
    script.push(&of_account("kubectl create serviceaccount"));
    let annotate = of_account("kubectl annotate serviceaccount");
    let key = format!("{}=", annotation::CLIENT_ID);
    script.push(&annotate.clone().arg(&key).joined("\"$client_id\""));
    if let Some(duration) = &flags.service_account_token_expiration {
        let seconds = seconds(duration).ok_or("--service-account-token-expiration such as 1h")?;
        let key = annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION;
        script.push(&annotate.arg(&format!("{key}={seconds}")));
    }
    Ok(())
}

fn create_credential(flags: &Flags) -> Result<Printed, &'static str> {
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
    let of_variable = format!("--id={CLIENT_ID}");
    let add = |command: Printed, argument: String| {
        if argument == of_variable {
            command.text("--id=\"$client_id\"")
        } else {
            command.arg(&argument)
        }
    };
    let arguments = creation(&wanted).arguments.into_iter();
    Ok(arguments.fold(Printed::new("az"), add))
}

fn assign_role(flags: &Flags) -> Result<Printed, &'static str> {
    let scope = flags.azure_scope.as_deref().ok_or("--azure-scope")?;
    let role = flags.azure_role.as_deref().ok_or("--azure-role")?;
    let assign = Printed::new("az role assignment create");
    let assign = match (
        &flags.service_principal_object_id,
        &flags.service_principal_name,
    ) {
        (Some(id), _) => assign.arg(&format!("--assignee-object-id={id}")),
        (None, Some(name)) => assign
            .text("--assignee-object-id=\"$(az ad sp list")
            .arg(&format!("--filter={}", named(name)))
            .text("--query='[0].id' --output=tsv)\""),
        (None, None) => assign.text(
            "--assignee-object-id=\"$(az ad sp show --id=\"$client_id\" --query=id --output=tsv)\"",
        ),
    };
    Ok(assign
        .text("--assignee-principal-type=ServicePrincipal")
        .arg(&format!("--role={role}"))
        .arg(&format!("--scope={scope}")))
}

fn deletions(flags: &Flags) -> Result<Script, &'static str> {
    let mut script = Script::default();
    if flags.has(Phase::RoleAssignment) {
        let id = flags.role_assignment_id.as_deref();
        let id = id.ok_or("--role-assignment-id")?;
        let delete = Printed::new("az role assignment delete");
        script.push(&delete.arg(&format!("--ids={id}")));
    }
    let needs_application = flags.has(Phase::FederatedIdentity) || flags.has(Phase::AadApplication);
    if needs_application {
        script.push(&flags.client_id()?);
    }
    if flags.has(Phase::FederatedIdentity) {
        script.push(&delete_credential(flags)?);
    }
    if flags.has(Phase::ServiceAccount) {
        let (namespace, name) = flags.account()?;
        let delete = Printed::new("kubectl delete serviceaccount").operand(name);
        script.push(&delete.arg(&format!("--namespace={namespace}")));
    }
    if flags.has(Phase::AadApplication) {
        script.push(&Printed::new("az ad app delete --id=\"$client_id\""));
    }
    Ok(script)
}

fn delete_credential(flags: &Flags) -> Result<Printed, &'static str> {
    let (namespace, name) = flags.account()?;
    // In JMESPath, a backslash and a quote escape nothing that these can have.
    let query = format!(
        "--query=[?issuer=='{}' && subject=='{}'].name | [0]",
        flags.issuer()?.replace(['\'', '\\'], ""),
        subject(namespace, name).replace(['\'', '\\'], "")
    );
    let delete = Printed::new(
        "az ad app federated-credential delete --id=\"$client_id\" --federated-credential-id=\"$(az ad app \
         federated-credential list --id=\"$client_id\"",
    );
    Ok(delete.arg(&query).text("--output=tsv)\""))
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
        let text = creations(&flags()).unwrap().to_string();
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
        let text = creations(&one).unwrap().to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        let mut skipped = flags();
        skipped.aad_application_name = Some("Joe's app".to_owned());
        skipped.skip_phases = vec![Phase::RoleAssignment, Phase::AadApplication];
        let text = deletions(&skipped).unwrap().to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        let filter = r"--filter='displayName eq '\''Joe'\'''\''s app'\''' ";
        assert!(text.contains(filter), "{text}");
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
    fn reads_durations_as_go_does() {
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
