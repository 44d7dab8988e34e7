//! The command line: none, `--version` or `--help`.

use std::ffi::OsString;

use service_kit::settings::ConfigurationError;
use service_kit::version;

use crate::error;

/// A command of the command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print this text.
    Print(String),
    /// Set up the redirect and prove it.
    Redirect,
}

/// Reads the arguments behind the program's name.
///
/// # Errors
///
/// Any argument but `--version` and `--help`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, ConfigurationError> {
    let mut arguments =
        service_kit::flags::from_go_syntax(std::iter::once(OsString::new()).chain(arguments))
            .skip(1);
    let Some(first) = arguments.next() else {
        return Ok(Command::Redirect);
    };
    match first.to_str() {
        Some("--version") => Ok(Command::Print(version::json())),
        Some("--help" | "-h") => Ok(Command::Print(help())),
        _ => Err(ConfigurationError::new(format!(
            "unknown argument {first:?}: proxy-init is configured by the environment, see --help"
        ))),
    }
}

fn help() -> String {
    format!(
        "proxy-init {version}: redirects the pod's connections to IMDS to the proxy, and proves it.\n\
         \n\
         Environment (default):\n  \
           METADATA_IP     address of IMDS (169.254.169.254)\n  \
           METADATA_PORT   port of IMDS (80)\n  \
           PROXY_PORT      the proxy's port on 127.0.0.1 (8000)\n  \
           PROXY_UID       the proxy's user id (1501). Its connections are exempt without AZWI_RELAY_KEY; with it, only announced ones\n  \
           AZWI_RELAY      the proxy's relay policy; with deny, the proxy's user is redirected too\n  \
           AZWI_RELAY_KEY  the proxy's key: only connections that its user announces with it are exempt\n\
         \n\
         Needs: the capability NET_ADMIN and user id 0, in the network namespace of the pod.\n\
         \n\
         Exit codes:\n{codes}",
        version = contract::VERSION,
        codes = error::EXIT_CODES
            .iter()
            .map(|(code, meaning)| format!("  {code:>2}  {meaning}"))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, ConfigurationError> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn redirects_without_arguments() {
        assert_eq!(parsed(&[]), Ok(Command::Redirect));
    }

    #[test]
    fn prints_version_and_help_in_both_spellings() {
        for argument in ["--version", "-version", "--version=true"] {
            assert_eq!(parsed(&[argument]), Ok(Command::Print(version::json())));
        }
        for argument in ["--help", "-help", "-h"] {
            let Ok(Command::Print(help)) = parsed(&[argument]) else {
                panic!("{argument} prints the help");
            };
            assert!(
                help.contains("PROXY_UID") && help.contains("  14  "),
                "{help}"
            );
        }
    }

    #[test]
    fn rejects_other_arguments() {
        let mistake = parsed(&["--proxy-port=8000"]).unwrap_err().to_string();
        assert!(mistake.contains("--proxy-port=8000"), "{mistake}");
    }
}
