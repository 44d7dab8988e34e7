//! Commands that are printed: people paste them into a shell, and scripts run them. Names in them come from a cluster
//! or from Azure, and may have been chosen by an attacker.

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde_json::Value;
use webhook::inject::printable;

use crate::document;

/// A command for a POSIX shell, in one line. Everything in it that is not written in this program is quoted.
///
/// Control characters are replaced, because they move a terminal's cursor. Such a command names what does not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Command(String);

impl Command {
    /// A command that begins with this text.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// Adds text as it is: fixed arguments, and `<placeholders>` to fill in.
    #[must_use]
    pub fn text(mut self, text: &'static str) -> Self {
        self.0.push(' ');
        self.0.push_str(text);
        self
    }

    /// Adds text as it is to the last argument.
    #[must_use]
    pub fn joined(mut self, text: &'static str) -> Self {
        self.0.push_str(text);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(&quoted(argument));
        self
    }

    /// Adds JSON as an argument, with control characters escaped.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.arg(&document::escaped(&value.to_string()))
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: AsRef<str>>(self, arguments: impl IntoIterator<Item = T>) -> Self {
        let arguments = arguments.into_iter();
        arguments.fold(self, |command, it| command.arg(it.as_ref()))
    }

    /// Adds an argument that must not be read as an option: a hyphen at its start is replaced. No name of Kubernetes
    /// begins with one.
    #[must_use]
    pub fn operand(self, argument: &str) -> Self {
        self.arg(&without_hyphen(argument))
    }

    /// Adds an argument in single quotes, which it gets even if it needs none.
    #[must_use]
    pub fn in_single_quotes(mut self, argument: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(&in_single_quotes(&printable(argument)));
        self
    }

    /// Adds an argument in double quotes: easier to read where it has single quotes.
    #[must_use]
    pub fn in_double_quotes(mut self, argument: &str) -> Self {
        self.0.push_str(" \"");
        for character in printable(argument).chars() {
            if "\\\"$`".contains(character) {
                self.0.push('\\');
            }
            self.0.push(character);
        }
        self.0.push('"');
        self
    }

    /// This command, then another one if it succeeds.
    #[must_use]
    pub fn and(self, next: &Self) -> Self {
        Self(format!("{self} && {next}"))
    }

    /// This command, whose output another one reads.
    #[must_use]
    pub fn pipe(self, reader: &Self) -> Self {
        Self(format!("{self} | {reader}"))
    }
}

impl Deref for Command {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Commands and comments, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(String);

impl Script {
    /// A script that ends at the first command that fails.
    #[must_use]
    pub fn strict() -> Self {
        Self("#!/bin/sh\nset -eu\n".to_owned())
    }

    /// Adds a command.
    pub fn push(&mut self, command: &Command) {
        self.0.push_str(command);
        self.0.push('\n');
    }

    /// Adds a comment, of one line whatever is in it.
    pub fn comment(&mut self, text: &str) {
        self.0.push_str("# ");
        self.0.push_str(&printable(text));
        self.0.push('\n');
    }

    /// Adds the lines of another script.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }
}

impl Deref for Script {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An argument as a POSIX shell reads it. Control characters are replaced.
fn quoted(argument: &str) -> String {
    let argument = printable(argument);
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./:@=,+%".contains(it);
    // zsh replaces a first `=` with the path of a program.
    if !argument.is_empty() && argument.chars().all(is_plain) && !argument.starts_with('=') {
        return argument;
    }
    match argument.split_once('=') {
        // Easier to read than quotes around both.
        Some((option, value)) if !option.is_empty() && option.chars().all(is_plain) => {
            format!("{option}={}", in_single_quotes(value))
        }
        _ => in_single_quotes(&argument),
    }
}

fn in_single_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn without_hyphen(argument: &str) -> String {
    match argument.strip_prefix('-') {
        Some(rest) => format!("\u{fffd}{rest}"),
        None => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use proptest::prelude::*;

    use super::*;

    /// What `sh` passes to each program `x` of a script.
    fn calls(script: &str) -> Vec<Vec<String>> {
        let script = format!("x() {{ printf '%s\\0' \"$@\"; printf '\\n\\0'; }}\n{script}");
        let output = process::Command::new("/bin/sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/nonexistent")
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{script}\n{output:?}"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let calls = text.split_terminator("\n\0");
        calls
            .map(|it| it.split_terminator('\0').map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn quotes_what_a_shell_would_read_otherwise() {
        for (argument, expected) in [
            ("https://issuer.example/id/", "https://issuer.example/id/"),
            ("key=value", "key=value"),
            ("a b", "'a b'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("--name=a b", "--name='a b'"),
            ("=ls", "'=ls'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(argument), expected);
        }
        let query = Command::new("x").in_double_quotes("[?a=='b']");
        assert_eq!(&*query, "x \"[?a=='b']\"");
        assert_eq!(&*Command::new("x").in_single_quotes("a"), "x 'a'");
        assert_eq!(&*Command::new("x").operand("-a"), "x '\u{fffd}a'");
        let placeholder = Command::new("x").arg("key=").joined("<client id>");
        assert_eq!(&*placeholder, "x key=<client id>");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_shell_reads_every_argument_as_it_is(
            arguments in prop::collection::vec("([$%{}'\"\\\\@=`~!*?()<>|&; \n\t\r\u{1b}\u{85}\u{2028}\u{202e}#;/a-]|\\PC|.){0,12}", 1..4),
        ) {
            let shown: Vec<String> = arguments.iter().map(|it| printable(it)).collect();
            let command = Command::new("x").args(&arguments);
            prop_assert!(!command.contains(contract::terminal::is_control));
            prop_assert_eq!(calls(&command), vec![shown.clone()]);
            let add = |new: fn(Command, &str) -> Command| arguments.iter().fold(Command::new("x"), |it, next| new(it, next));
            let (single, double) = (add(|it, next| it.in_single_quotes(next)), add(|it, next| it.in_double_quotes(next)));
            let operands = add(|it, next| it.operand(next));
            let shown_operands: Vec<String> = shown.iter().map(|it| without_hyphen(it)).collect();
            let mut script = Script::strict();
            script.push(&single);
            for argument in &arguments {
                script.comment(argument);
            }
            script.push(&double.and(&operands));
            prop_assert_eq!(calls(&script.to_string()), vec![shown.clone(), shown, shown_operands]);
        }
    }
}
