//! The command line. Each subcommand has a file.

mod audit;
mod check;
mod connection;
mod credentials;
mod egress;
mod federate;
mod issuer;
mod jwks;
mod manifests;
mod migrate;
mod output;
mod podidentity;
mod serviceaccount;
mod target;
mod terminal;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use contract::EXIT_USAGE;

use terminal::{print_mistake, success};

/// Says whether Azure workload identity works in a cluster, and what fixes it.
///
/// Reads the cluster. Only `migrate move` and `migrate back` change it, and only with `--apply`. The audit
/// writes Events, and with `--evict` evictions.
#[derive(Debug, Parser)]
#[command(name = "azwi", bin_name = "azwi", version = contract::VERSION)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Audit(audit::Arguments),
    Check(Box<check::Arguments>),
    Federate(federate::Arguments),
    Issuer(issuer::Arguments),
    Jwks(jwks::Arguments),
    Migrate(migrate::Arguments),
    #[command(hide = true, visible_alias = "sa")]
    Serviceaccount(Box<serviceaccount::Arguments>),
    #[command(hide = true, alias = "pi")]
    Podidentity(podidentity::Arguments),
    Version(version::Arguments),
    /// Write the completions of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Write the manual page, or that of a command
    Manual {
        /// The command, such as: migrate plan
        command: Vec<String>,
    },
}

/// Runs the command line, of which the first argument is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_mistake = error.use_stderr();
            // Nothing is left to do where the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if is_mistake { EXIT_USAGE } else { 0 });
        }
    };
    match arguments.command {
        Command::Audit(arguments) => audit::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Federate(arguments) => federate::run(&arguments),
        Command::Issuer(arguments) => issuer::run(&arguments),
        Command::Jwks(arguments) => jwks::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Serviceaccount(arguments) => serviceaccount::run(&arguments),
        Command::Podidentity(arguments) => podidentity::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
        Command::Completion { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "azwi", &mut text);
            success(&text)
        }
        Command::Manual { command } => manual(&command),
    }
}

/// Writes the manual page of a command, by the words that it is called with.
fn manual(words: &[String]) -> ExitCode {
    let mut command = Arguments::command();
    command.build();
    for word in words {
        let Some(found) = command.find_subcommand(word) else {
            print_mistake(&format!("there is no command {}", words.join(" ")));
            return ExitCode::from(EXIT_USAGE);
        };
        command = found.clone();
    }
    let mut text = Vec::new();
    match clap_mangen::Man::new(command).render(&mut text) {
        Ok(()) => success(&text),
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn usage_mistakes_exit_with_64_and_help_with_0() {
        let run = |args: &[&str]| format!("{:?}", run(args.iter().map(OsString::from)));
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(run(&["azwi", "check", "--unknown"]), code(EXIT_USAGE));
        assert_eq!(run(&["azwi", "check", "no-slash"]), code(EXIT_USAGE));
        assert_eq!(run(&["azwi", "check", "--category", "X"]), code(EXIT_USAGE));
        assert_eq!(run(&["azwi", "--help"]), code(0));
        assert_eq!(run(&["kubectl-azwi", "--version"]), code(0));
    }
}
