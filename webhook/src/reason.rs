//! Messages of the API server and of libraries, bounded and printable, for logs and answers: why a call failed, why
//! a body was refused.

use std::error::Error;
use std::fmt::{self, Display, Write};

use kube::core::Status;
use kube::runtime::watcher;
use serde_json::error::Category;

/// The API server's message if it answered. The library's text repeats the whole status.
#[must_use]
pub fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => message(status),
        kube::Error::SerdeError(error) => unreadable(error),
        kube::Error::Service(error) => excerpt(&Causes(&**error)),
        kube::Error::HyperError(error) => excerpt(&Causes(error)),
        error => excerpt(error),
    }
}

/// The same of a watch.
#[must_use]
pub fn watch_reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => reason(error),
        watcher::Error::WatchError(status) => message(status),
        error @ watcher::Error::NoResourceVersion => excerpt(error),
    }
}

/// An error with what caused it: that of a connection says only that there is none.
struct Causes<'a>(&'a dyn Error);

impl Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        match self.0.source() {
            Some(cause) => write!(formatter, ": {}", Causes(cause)),
            None => Ok(()),
        }
    }
}

/// An event of a watch that cannot be parsed comes as a status without any field.
fn message(status: &Status) -> String {
    if status.message.is_empty() {
        return format!("the API server gives no reason (status {})", status.code);
    }
    excerpt_of(&status.message, MAX_CHARACTERS_OF_API_SERVER)
}

/// The parser's own sentence quotes the answer, which may be the Secret with the authority's key (law 8).
fn unreadable(error: &serde_json::Error) -> String {
    let problem = match error.classify() {
        Category::Data => "has other fields or types than Kubernetes defines",
        Category::Eof => "is cut short",
        Category::Io | Category::Syntax => "is not JSON",
    };
    let (line, column) = (error.line(), error.column());
    format!("the API server's answer {problem} (line {line}, column {column})")
}

/// The text, without control characters, and no more of it than [`MAX_CHARACTERS`]. A parser's error
/// quotes the input, which may be megabytes.
pub(crate) fn excerpt(text: &dyn Display) -> String {
    excerpt_of(text, MAX_CHARACTERS)
}

/// The same, with another limit.
pub(crate) fn excerpt_of(text: &dyn Display, max_characters: usize) -> String {
    let mut excerpt = Excerpt {
        text: String::new(),
        left: max_characters,
    };
    // An error means that the limit is reached.
    let _ = write!(excerpt, "{text}");
    excerpt.text
}

struct Excerpt {
    text: String,
    left: usize,
}

impl Write for Excerpt {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            let Some(left) = self.left.checked_sub(1) else {
                self.text.push('…');
                return Err(fmt::Error);
            };
            self.left = left;
            self.text.push(if contract::terminal::is_control(c) {
                '\u{fffd}'
            } else {
                c
            });
        }
        Ok(())
    }
}

/// Enough for a parser's sentence and the place of the error.
const MAX_CHARACTERS: usize = 200;
/// Enough for the object, the policy and its reason, which comes last.
const MAX_CHARACTERS_OF_API_SERVER: usize = 500;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn law_8_quotes_no_answer_that_cannot_be_parsed() {
        for text in [r#"{"secret""#, r#""secret""#, "secret"] {
            let parsed = serde_json::from_str::<std::collections::BTreeMap<String, u8>>(text);
            let error = watcher::Error::WatchFailed(kube::Error::SerdeError(parsed.unwrap_err()));
            let text = watch_reason(&error);
            assert!(
                text.starts_with("the API server's answer ") && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn names_the_cause_of_a_connection_that_fails() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failed = ReadError(refused);
        assert_eq!(
            reason(&kube::Error::Service(Box::new(failed))),
            "no connection: connection refused"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("no connection")]
    struct ReadError(#[source] io::Error);

    #[test]
    fn cuts_a_text_and_replaces_control_characters() {
        assert_eq!(excerpt(&"a\nb"), "a\u{fffd}b");
        let cut = excerpt(&format_args!("{}{}", "é".repeat(150), "x".repeat(150)));
        assert_eq!(cut.chars().count(), MAX_CHARACTERS + 1);
        assert!(cut.ends_with("x…"));
        let whole = "x".repeat(MAX_CHARACTERS);
        assert_eq!(excerpt(&whole), whole);
    }
}
