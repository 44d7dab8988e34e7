//! Command lines in Go's flag syntax, as users of Azure/azure-workload-identity write them.

use std::borrow::Cow;
use std::ffi::OsString;

/// Rewrites Go's `-flag` to `--flag`, so that both spellings work, and `--version=true` to `--version`. Leaves
/// arguments after a lone `--`, negative numbers and one-letter flags (`-h`) as they are.
///
/// ```
/// let args = ["proxy", "-proxy-port=8000", "--probe"].map(Into::into);
/// let args: Vec<_> = service_kit::flags::from_go_syntax(args).collect();
/// assert_eq!(args, ["proxy", "--proxy-port=8000", "--probe"]);
/// ```
pub fn from_go_syntax(args: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut only_values = false;
    let args = args.into_iter().enumerate();
    args.filter_map(move |(position, arg)| {
        only_values |= arg == "--";
        let Some(text) = arg.to_str() else {
            return Some(arg);
        };
        if position == 0 || only_values {
            return Some(arg);
        }
        let long = with_two_dashes(text);
        match switch(&long) {
            Some((name, is_on)) => is_on.then(|| name.into()),
            None => Some(long.into_owned().into()),
        }
    })
}

/// A boolean as Go's `strconv.ParseBool` reads it.
#[must_use]
pub fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A flag that takes no value here, given with a boolean as Go allows it: `--version=false`.
fn switch(flag: &str) -> Option<(&str, bool)> {
    let (name, value) = flag.split_once('=')?;
    let is_switch = ["--version", "--help"].contains(&name);
    Some((name, go_bool(value)?)).filter(|_| is_switch)
}

fn with_two_dashes(flag: &str) -> Cow<'_, str> {
    if is_long_flag_with_one_dash(flag) {
        Cow::Owned(format!("-{flag}"))
    } else {
        Cow::Borrowed(flag)
    }
}

fn is_long_flag_with_one_dash(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|name| {
        name.len() > 1 && name.starts_with(|first: char| first.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(args: &[&str]) -> Vec<OsString> {
        from_go_syntax(args.iter().map(OsString::from)).collect()
    }

    #[test]
    fn doubles_the_dash_of_a_long_flag() {
        assert_eq!(
            rewritten(&["webhook", "-log-level", "info", "-audience=x", "--version"]),
            [
                "webhook",
                "--log-level",
                "info",
                "--audience=x",
                "--version"
            ],
        );
    }

    #[test]
    fn reads_the_boolean_of_a_flag_that_takes_no_value() {
        assert_eq!(
            rewritten(&["proxy", "-version=true", "--help=T", "--version=false"]),
            ["proxy", "--version", "--help"],
        );
        let unchanged = ["proxy", "--version=maybe", "--probe=true", "--", "--help=1"];
        assert_eq!(rewritten(&unchanged), unchanged);
    }

    #[test]
    fn leaves_values_short_flags_and_the_program_alone() {
        assert_eq!(
            rewritten(&["-webhook", "-h", "-1", "-", "--", "-audience"]),
            ["-webhook", "-h", "-1", "-", "--", "-audience"],
        );
    }
}
