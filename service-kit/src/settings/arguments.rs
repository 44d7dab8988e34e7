//! Flags by clap, with variables behind them.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::process::ExitCode;
use std::str::FromStr;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use contract::service_link::is_service_link;
use thiserror::Error;

use super::{ConfigurationError, Mistakes};
use crate::flags::from_go_syntax;
use crate::version;

/// A flag's value: its text, and the result of parsing it as `T`.
#[derive(Clone)]
pub struct Setting<T> {
    text: String,
    value: Result<T, String>,
}

/// Why the program does not start.
#[derive(Debug, Error)]
pub enum UsageError {
    /// An unknown flag, or a request for help or the version. The text is clap's.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// Values are wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
}

/// Reads the command line, and for each absent flag its environment variable, through `variable`. Go's
/// spelling of flags is accepted, and the last of several occurrences wins, as in Go.
///
/// A variable of a port that holds the address of a Service counts as absent, see
/// [`is_service_link`].
///
/// # Errors
///
/// An unknown flag, or a request for help or the version.
pub fn parse<A: CommandFactory + FromArgMatches>(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<A, clap::Error> {
    let args: Vec<_> = from_go_syntax(args).collect();
    let documented = A::command().mut_args(|arg| arg.hide_env_values(true));
    // Variables come from `variable`, and an empty value must not win over one.
    let command = documented
        .clone()
        .mut_args(|arg| arg.env(Resettable::Reset))
        .args_override_self(true);
    let given = match command.clone().try_get_matches_from(&args) {
        Ok(given) => given,
        // The help names the variables.
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Err(documented
                .try_get_matches_from(&args)
                .err()
                .unwrap_or(error));
        }
        Err(error) => return Err(error),
    };
    let mut effective: Vec<_> = args.into_iter().take(1).collect();
    for arg in documented.get_arguments() {
        let Some(name) = arg.get_long() else { continue };
        let is_set = |value: &OsString| is_set(name, value);
        let from_flag = last_given(&given, arg.get_id().as_str()).filter(is_set);
        let from_variable = || {
            let name = arg.get_env()?.to_str()?;
            variable(name).filter(is_set)
        };
        if let Some(value) = from_flag.or_else(from_variable) {
            let mut flag = OsString::from(format!("--{name}="));
            flag.push(value);
            effective.push(flag);
        }
    }
    A::from_arg_matches(&command.try_get_matches_from(effective)?)
}

fn last_given(given: &ArgMatches, id: &str) -> Option<OsString> {
    let mut values = given.try_get_raw(id).ok()??;
    let is_flag = given.value_source(id) == Some(ValueSource::CommandLine);
    values.next_back().filter(|_| is_flag).map(OsStr::to_owned)
}

fn is_set(flag: &str, value: &OsStr) -> bool {
    let Some(text) = value.to_str() else {
        return true;
    };
    let is_link = flag.ends_with("port") && is_service_link(text);
    !is_link && !text.trim().is_empty()
}

impl Mistakes {
    /// The value of a flag, or `None` after its error was added with the flag's name and text.
    pub fn read<T>(&mut self, flag: &str, setting: Setting<T>) -> Option<T> {
        let Setting { text, value } = setting;
        self.keep(value.map_err(|error| format!("{flag}={text}: {error}")))
    }

    /// As [`Mistakes::read`], followed by advice for the operator.
    pub fn read_with_advice<T>(
        &mut self,
        flag: &str,
        setting: Setting<T>,
        advice: &str,
    ) -> Option<T> {
        let Setting { text, value } = setting;
        self.keep(value.map_err(|error| format!("{flag}={text}: {error}: {advice}")))
    }

    /// As [`Mistakes::read`], for values that may hold a password: the error does not repeat the text.
    pub fn read_secret<T>(&mut self, flag: &str, setting: Setting<T>) -> Option<T> {
        self.keep(setting.value.map_err(|error| format!("{flag}: {error}")))
    }
}

impl<T> Setting<T> {
    /// The setting that is written as `value`: a default, for clap's `default_value_t`.
    pub fn of(value: &impl Display) -> Self
    where
        T: FromStr<Err: Display>,
    {
        let text = value.to_string();
        let value = text.parse().map_err(|error: T::Err| error.to_string());
        Self { text, value }
    }

    /// The text without surrounding white space.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<T: FromStr<Err: Display>> FromStr for Setting<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of(&text.trim()))
    }
}

/// Writes the text, passwords included: clap shows defaults by it.
impl<T> Display for Setting<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Hides the text, which may hold a password.
impl<T> fmt::Debug for Setting<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Setting(…)")
    }
}

impl UsageError {
    /// Prints the error, or the requested help or version, and returns the exit code: 64 for an error.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Arguments(error) if error.kind() == ErrorKind::DisplayVersion => {
                println!("{}", version::json());
                return ExitCode::SUCCESS;
            }
            Self::Arguments(error) => {
                let _ = error.print();
                if !error.use_stderr() {
                    return ExitCode::SUCCESS;
                }
            }
            Self::Configuration(error) => eprintln!("{error}"),
        }
        ExitCode::from(contract::EXIT_USAGE)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "app", version)]
    struct Arguments {
        #[arg(long, env = "APP_PORT", default_value = "8000")]
        port: Setting<u16>,
        #[arg(long, env = "APP_LEVEL", default_value = "info")]
        level: Setting<String>,
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        probe: Option<Setting<bool>>,
    }

    fn parsed(args: &[&str], variables: &[(&str, &str)]) -> Result<Arguments, clap::Error> {
        let args = ["app"].iter().chain(args).map(OsString::from);
        parse(args, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn texts(args: &[&str], variables: &[(&str, &str)]) -> [String; 2] {
        let arguments = parsed(args, variables).unwrap();
        [arguments.port.text, arguments.level.text]
    }

    #[test]
    fn a_flag_wins_over_its_variable_and_a_variable_over_the_default() {
        let variables = [("APP_PORT", "1"), ("APP_LEVEL", " debug\n")];
        assert_eq!(texts(&[], &[]), ["8000", "info"]);
        assert_eq!(texts(&[], &variables), ["1", "debug"]);
        assert_eq!(
            texts(&["--port=2", "-level", "warn"], &variables),
            ["2", "warn"]
        );
        assert_eq!(texts(&["--port=2", "--port=3"], &[]), ["3", "info"]);
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        assert_eq!(texts(&["--port="], &[("APP_PORT", "1")]), ["1", "info"]);
        assert_eq!(
            texts(&["--level", ""], &[("APP_PORT", " ")]),
            ["8000", "info"]
        );
    }

    #[test]
    fn the_address_of_a_service_is_no_port() {
        let link = "tcp://10.0.0.5:80";
        assert_eq!(texts(&[], &[("APP_PORT", link)])[0], "8000");
        assert_eq!(texts(&[], &[("APP_LEVEL", link)])[1], link);
    }

    #[test]
    fn a_flag_may_stand_without_its_value() {
        for (args, expected) in [
            (&["-probe"][..], Some("true")),
            (&["--probe=false"], Some("false")),
            (&[], None),
        ] {
            let probe = parsed(args, &[]).unwrap().probe;
            assert_eq!(probe.as_ref().map(Setting::text), expected, "{args:?}");
        }
    }

    #[test]
    fn every_mistake_is_collected() {
        let arguments = parsed(&["--port=x", "--probe=perhaps"], &[]).unwrap();
        let mut mistakes = Mistakes::default();
        let port = mistakes.read("--port", arguments.port);
        let probe = arguments
            .probe
            .and_then(|it| mistakes.read_secret("--probe", it));
        assert_eq!((port, probe), (None, None));
        let error = mistakes.finish(port).unwrap_err();
        assert_eq!(error.mistakes().len(), 2);
        assert!(error.to_string().contains("\n  - --port=x: "), "{error}");
        assert!(!error.to_string().contains("perhaps"), "{error}");
    }

    #[test]
    fn help_names_the_variables_and_an_unknown_flag_is_an_error() {
        let help = parsed(&["--help"], &[]).unwrap_err();
        assert!(help.to_string().contains("APP_PORT"), "{help}");
        let version = parsed(&["-version"], &[]).unwrap_err();
        assert_eq!(version.kind(), ErrorKind::DisplayVersion);
        let unknown = parsed(&["--prot=1"], &[("APP_PORT", "x")]).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::UnknownArgument);
    }
}
