//! Checks the bytes that a connection received.

use serde_json::Value;

use crate::imds::MARKER;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The program closed it, or it was idle after the last answer.
    Program,
    /// The adversary closed it; an answer may be cut short.
    Adversary,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Reads all answers of a connection. `has_head` says that a request of it may have had the method HEAD,
/// whose answers have a length and no body.
///
/// # Errors
///
/// When they hold the node's marker, or an answer is not whole; the message says why.
pub fn check(received: &[u8], end: End, has_head: bool) -> Result<Vec<Answer>, String> {
    if contains(received, MARKER.as_bytes()) {
        return Err("an answer has the identity of the node".to_owned());
    }
    let mut answers = Vec::new();
    let mut rest = received;
    while !rest.is_empty() {
        match read(rest, has_head)? {
            Some((answer, behind)) => {
                answers.extend(answer);
                rest = behind;
            }
            None if end == End::Adversary => break,
            None => return Err(format!("an answer is cut short: {}", shown(rest))),
        }
    }
    Ok(answers)
}

/// An answer, unless it is interim, and the bytes behind it.
type Split<'a> = (Option<Answer>, &'a [u8]);

/// The first answer; `None` when it is cut short.
fn read(bytes: &[u8], has_head: bool) -> Result<Option<Split<'_>>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("not an HTTP answer ({error}): {}", shown(bytes))),
    };
    let status = head.code.unwrap_or_default();
    let behind = &bytes[length..];
    if (100..200).contains(&status) {
        return Ok(Some((None, behind)));
    }
    let values = |wanted: &str| -> Vec<String> {
        let of_it = head
            .headers
            .iter()
            .filter(|it| it.name.eq_ignore_ascii_case(wanted));
        of_it
            .map(|it| String::from_utf8_lossy(it.value).into_owned())
            .collect()
    };
    let lengths = values("content-length");
    let announced = match lengths.as_slice() {
        [length] => length.parse().ok(),
        // Hyper leaves it out where it is not known what GET would have answered.
        [] if has_head => Some(0),
        _ => None,
    };
    let Some(announced) = announced else {
        let shown = shown(bytes);
        return Err(format!("an answer with the lengths {lengths:?}: {shown}"));
    };
    let (body, behind) = match behind.split_at_checked(announced) {
        _ if has_head && (behind.is_empty() || behind.starts_with(b"HTTP/1.")) => (&[][..], behind),
        Some(split) => split,
        None => return Ok(None),
    };
    let kind = values("content-type").join(", ");
    check_body(body, &kind).map_err(|reason| format!("{reason}: {}", shown(bytes)))?;
    let answer = Answer {
        status,
        body: body.to_vec(),
    };
    Ok(Some((Some(answer), behind)))
}

/// A body is JSON, or text that says so.
fn check_body(body: &[u8], kind: &str) -> Result<(), String> {
    let is_text =
        kind.starts_with("text/plain") || kind.starts_with("application/openmetrics-text");
    if body.is_empty() {
        return Ok(());
    }
    if is_text {
        return str::from_utf8(body)
            .map(drop)
            .map_err(|error| format!("a text that is not UTF-8 ({error})"));
    }
    if !kind.starts_with("application/json") {
        return Err(format!("a body of type {kind:?}"));
    }
    serde_json::from_slice::<Value>(body)
        .map(drop)
        .map_err(|error| format!("a body that is not JSON ({error})"))
}

/// Whether `part` is anywhere in `bytes`.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The first bytes, for a message.
fn shown(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(SHOWN)];
    format!("{:?}", String::from_utf8_lossy(first))
}

/// How many bytes of an answer a message shows.
const SHOWN: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

    fn refused(text: &str) -> String {
        check(text.as_bytes(), End::Program, false).unwrap_err()
    }

    #[test]
    fn accepts_whole_answers_one_after_the_other() {
        let both = format!("HTTP/1.1 100 Continue\r\n\r\n{WHOLE}{WHOLE}");
        let answers = check(both.as_bytes(), End::Program, false).unwrap();
        assert_eq!(answers.len(), 2);
        assert_eq!(
            answers[0],
            Answer {
                status: 200,
                body: b"{}".to_vec()
            }
        );
        assert_eq!(check(b"", End::Program, false), Ok(Vec::new()));
    }

    #[test]
    fn refuses_every_answer_that_is_cut_short() {
        for length in 1..WHOLE.len() {
            let reason = refused(&WHOLE[..length]);
            assert!(reason.contains("cut short"), "{length}: {reason}");
            let cut = check(&WHOLE.as_bytes()[..length], End::Adversary, false);
            assert_eq!(cut, Ok(Vec::new()), "the adversary cut it at {length}");
        }
    }

    #[test]
    fn refuses_a_body_that_is_longer_than_its_length() {
        assert!(refused(&format!("{WHOLE}}}")).contains("not an HTTP answer"));
    }

    #[test]
    fn refuses_an_answer_without_a_length_or_with_two() {
        assert!(refused("HTTP/1.1 200 OK\r\n\r\n{}").contains("lengths []"));
        let twice = WHOLE.replace("content-length", "content-length: 2\r\ncontent-length");
        assert!(refused(&twice).contains("lengths [\"2\", \"2\"]"));
    }

    #[test]
    fn refuses_a_body_that_does_not_parse() {
        assert!(refused(&WHOLE.replace("{}", "{,")).contains("not JSON"));
        assert!(refused(&WHOLE.replace("application/json", "text/html")).contains("text/html"));
    }

    #[test]
    fn refuses_the_marker_of_the_node_even_in_an_answer_that_was_cut() {
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{MARKER}");
        for end in [End::Program, End::Adversary] {
            let reason = check(text.as_bytes(), end, false).unwrap_err();
            assert!(reason.contains("identity of the node"), "{reason}");
        }
    }

    #[test]
    fn an_answer_to_head_has_a_length_and_no_body() {
        let head = WHOLE.strip_suffix("{}").unwrap();
        assert_eq!(check(head.as_bytes(), End::Program, true).unwrap().len(), 1);
        let both = format!("{head}{WHOLE}");
        assert_eq!(check(both.as_bytes(), End::Program, true).unwrap().len(), 2);
    }
}
