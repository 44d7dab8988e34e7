//! Command lines in Go's flag syntax, as users of Azure/azure-workload-identity write them.

use std::ffi::OsString;

/// Rewrites Go's `-flag` to `--flag`, so that both spellings work. Leaves arguments after a lone `--`,
/// negative numbers and one-letter flags (`-h`) as they are.
///
/// ```
/// let args = ["proxy", "-proxy-port=8000", "--probe"].map(Into::into);
/// let args: Vec<_> = service_kit::flags::from_go_syntax(args).collect();
/// assert_eq!(args, ["proxy", "--proxy-port=8000", "--probe"]);
/// ```
pub fn from_go_syntax(args: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut only_values = false;
    args.into_iter().enumerate().map(move |(position, arg)| {
        only_values |= arg == "--";
        let Some(text) = arg.to_str() else { return arg };
        if position == 0 || only_values || !is_long_flag_with_one_dash(text) {
            return arg;
        }
        format!("-{text}").into()
    })
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
    fn leaves_values_short_flags_and_the_program_alone() {
        assert_eq!(
            rewritten(&["-webhook", "-h", "-1", "-", "--", "-audience"]),
            ["-webhook", "-h", "-1", "-", "--", "-audience"],
        );
    }
}
