//! Cuts the API server's answers about service accounts down while they arrive.
//!
//! A user who may edit service accounts can make each of them hundreds of KiB large, and a page of a list
//! has up to 1,000. The answer is never whole in memory: of each account its name, its version and the
//! product's annotations and labels are passed on, and of those only as many and as much as
//! [`Account`] keeps. One answer takes some KiB, however large it is.
//!
//! Answers are valid JSON, because an API server wrote them. Anything else comes out as other JSON or none,
//! and the parser behind this one refuses it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use contract::{annotation, label};
use hyper::body::{Body, Frame};

use crate::inject::Account;

/// An answer's body, cut down if it is about service accounts.
#[derive(Debug)]
pub(super) struct SlimBody {
    body: kube::client::Body,
    slim: Option<Slim>,
}

impl SlimBody {
    pub(super) fn new(body: kube::client::Body, is_slimmed: bool) -> Self {
        let slim = is_slimmed.then(Slim::default);
        Self { body, slim }
    }
}

impl Body for SlimBody {
    type Data = Bytes;
    type Error = kube::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, kube::Error>>> {
        let this = &mut *self;
        loop {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
            let (Some(slim), Some(Ok(frame))) = (&mut this.slim, &frame) else {
                return Poll::Ready(frame);
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            let mut rest = Vec::new();
            slim.push(data, &mut rest);
            if !rest.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
            }
        }
    }
}

/// A streaming parser of JSON that buffers one member of an object at a time.
#[derive(Debug, Default)]
struct Slim {
    /// The containers that are passed on and not complete.
    open: Vec<Container>,
    state: State,
    /// The text of the member that is being read: its key, and its value if that is passed on.
    member: Vec<u8>,
    /// Bytes of its key.
    key: usize,
}

#[derive(Debug)]
struct Container {
    kind: Kind,
    is_empty: bool,
    /// Entries with the product's prefix and an unknown key.
    unknown: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An account, a list of accounts, or an event.
    Object,
    /// `items` of a list.
    Items,
    Metadata,
    /// Labels or annotations.
    Entries,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before a key, an element or the end of a container.
    #[default]
    Between,
    Key {
        is_escaped: bool,
    },
    /// Between a key and its value.
    Value(Fate),
    Text {
        is_escaped: bool,
    },
    /// In a number, true, false or null.
    Word,
    Skipped {
        depth: usize,
        is_text: bool,
        is_escaped: bool,
    },
}

/// What happens to the value of a member.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Dropped,
    Kept,
    Opened(Kind),
}

impl Slim {
    /// Reads the next bytes, and writes those that are passed on.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            self.state = self.next(*byte, out);
        }
    }

    fn next(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match self.state {
            State::Between => self.between(byte, out),
            State::Key { is_escaped } => {
                self.append(byte);
                match byte {
                    _ if is_escaped => State::Key { is_escaped: false },
                    b'"' => State::Value(self.fate(out)),
                    _ => State::Key {
                        is_escaped: byte == b'\\',
                    },
                }
            }
            State::Value(fate) => self.value(fate, byte, out),
            State::Text { is_escaped } => {
                self.append(byte);
                match byte {
                    b'"' if !is_escaped => self.finish(out),
                    _ => State::Text {
                        is_escaped: byte == b'\\' && !is_escaped,
                    },
                }
            }
            State::Word if is_end(byte) => {
                self.finish(out);
                self.between(byte, out)
            }
            State::Word => {
                self.append(byte);
                State::Word
            }
            State::Skipped {
                depth,
                is_text,
                is_escaped,
            } => self.skipped(depth, is_text, is_escaped, byte, out),
        }
    }

    fn between(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        let kind = self.open.last().map(|container| container.kind);
        match (byte, kind) {
            (b'}' | b']', Some(_)) => {
                out.push(byte);
                self.open.pop();
            }
            (b'{', None | Some(Kind::Items)) => self.open(Kind::Object, byte, out),
            (b',' | b' ' | b'\t' | b'\r' | b'\n', Some(_)) => {}
            (b'"', Some(Kind::Object | Kind::Metadata | Kind::Entries)) => {
                self.member.clear();
                self.append(byte);
                return State::Key { is_escaped: false };
            }
            (_, Some(_)) => return skip(byte),
            // Between events.
            (_, None) => out.push(byte),
        }
        State::Between
    }

    fn value(&mut self, fate: Fate, byte: u8, out: &mut Vec<u8>) -> State {
        match (byte, fate) {
            (b':' | b' ' | b'\t' | b'\r' | b'\n', _) => State::Value(fate),
            (b'{', Fate::Opened(kind)) if kind != Kind::Items => {
                self.open(kind, byte, out);
                State::Between
            }
            (b'[', Fate::Opened(Kind::Items)) => {
                self.open(Kind::Items, byte, out);
                State::Between
            }
            (b'{' | b'[', _) | (_, Fate::Dropped | Fate::Opened(_)) => skip(byte),
            (_, Fate::Kept) => {
                self.append(b':');
                self.append(byte);
                if byte == b'"' {
                    State::Text { is_escaped: false }
                } else {
                    State::Word
                }
            }
        }
    }

    fn skipped(
        &mut self,
        depth: usize,
        is_text: bool,
        is_escaped: bool,
        byte: u8,
        out: &mut Vec<u8>,
    ) -> State {
        let (mut depth, mut is_in_text) = (depth, is_text);
        match byte {
            _ if is_escaped => {}
            b'"' => {
                is_in_text = !is_text;
                if is_text && depth == 0 {
                    return State::Between;
                }
            }
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            // The end of the container that a word is in.
            _ if depth == 0 && is_end(byte) => return self.between(byte, out),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return State::Between;
                }
            }
            _ => {}
        }
        State::Skipped {
            depth,
            is_text: is_in_text,
            is_escaped: is_text && !is_escaped && byte == b'\\',
        }
    }

    /// What happens to the value of the key that was just read.
    fn fate(&mut self, out: &mut Vec<u8>) -> Fate {
        let is_deep = self.open.len() >= MAX_DEPTH;
        let Some(container) = self.open.last_mut() else {
            return Fate::Dropped;
        };
        self.key = self.member.len();
        let key = self.member.strip_prefix(b"\"");
        let key = key.and_then(|key| str::from_utf8(key.strip_suffix(b"\"")?).ok());
        match (container.kind, key.unwrap_or_default()) {
            (Kind::Object, "items") if !is_deep => Fate::Opened(Kind::Items),
            (Kind::Object, "object") if !is_deep => Fate::Opened(Kind::Object),
            (Kind::Object, "metadata") => Fate::Opened(Kind::Metadata),
            (Kind::Metadata, "annotations" | "labels") => Fate::Opened(Kind::Entries),
            (Kind::Object, key) if OF_OBJECT.contains(&key) => Fate::Kept,
            (Kind::Metadata, key) if OF_METADATA.contains(&key) => Fate::Kept,
            (Kind::Entries, key) if OF_ENTRIES.contains(&key) => Fate::Kept,
            (Kind::Entries, key) if key.starts_with(annotation::PREFIX) => {
                container.unknown += 1;
                if container.unknown <= Account::MAX_UNKNOWN {
                    self.member.extend_from_slice(b":\"\"");
                    self.finish(out);
                }
                Fate::Dropped
            }
            _ => Fate::Dropped,
        }
    }

    fn open(&mut self, kind: Kind, bracket: u8, out: &mut Vec<u8>) {
        if let Some(parent) = self.open.last_mut() {
            if !parent.is_empty {
                out.push(b',');
            }
            parent.is_empty = false;
            if parent.kind != Kind::Items {
                out.extend_from_slice(&self.member);
                out.push(b':');
            }
        }
        out.push(bracket);
        self.open.push(Container {
            kind,
            is_empty: true,
            unknown: 0,
        });
    }

    /// Appends to the member, one byte above its limit at most.
    fn append(&mut self, byte: u8) {
        if self.member.len() <= self.limit() {
            self.member.push(byte);
        }
    }

    fn limit(&self) -> usize {
        match self.open.last() {
            Some(container) if container.kind == Kind::Entries => MAX_ENTRY,
            _ => MAX_MEMBER,
        }
    }

    /// Writes the member that has been read.
    fn finish(&mut self, out: &mut Vec<u8>) -> State {
        let is_too_long = self.member.len() > self.limit();
        let Some(container) = self.open.last_mut() else {
            return State::Between;
        };
        if is_too_long {
            // `Account::read` finds this value too long as well, and records its key.
            self.member.truncate(self.key);
            let long = "-".repeat(Account::MAX_VALUE + 1);
            self.member
                .extend_from_slice(format!(":\"{long}\"").as_bytes());
        }
        if !container.is_empty {
            out.push(b',');
        }
        container.is_empty = false;
        out.append(&mut self.member);
        State::Between
    }
}

/// Begins to skip a value.
fn skip(first: u8) -> State {
    State::Skipped {
        depth: usize::from(matches!(first, b'{' | b'[')),
        is_text: first == b'"',
        is_escaped: false,
    }
}

/// Whether a number or another word has ended before this byte.
fn is_end(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')
}

/// Members that are kept of an account, a list, an event, and a `Status` that reports an error.
const OF_OBJECT: [&str; 7] = [
    "apiVersion",
    "code",
    "kind",
    "message",
    "reason",
    "status",
    "type",
];

/// Members that are kept of the metadata of an account and of a list.
const OF_METADATA: [&str; 4] = ["continue", "name", "namespace", "resourceVersion"];

/// Labels and annotations that are read, and the one that ends a list in the form of a stream.
const OF_ENTRIES: [&str; 5] = [
    annotation::CLIENT_ID,
    annotation::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
    annotation::TENANT_ID,
    "k8s.io/initial-events-end",
    label::USE,
];

/// Bytes of a label or annotation with its key, as JSON: enough for each character of
/// [`Account::MAX_VALUE`] as an escape.
const MAX_ENTRY: usize = 512;

/// Bytes of any other member. The longest that API servers send are the tokens of lists.
const MAX_MEMBER: usize = 16 * 1024;

/// Nested containers that are passed on. An event has four.
const MAX_DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn slimmed(text: &str, size: usize) -> String {
        let (mut slim, mut out) = (Slim::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            slim.push(piece, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    fn object(annotations: Value) -> Value {
        json!({
            "kind": "ServiceAccount",
            "apiVersion": "v1",
            "metadata": {
                "name": "sa",
                "namespace": "ns",
                "resourceVersion": "7",
                "annotations": annotations,
                "managedFields": [{ "fieldsV1": { "f:metadata": {} } }],
            },
            "secrets": [{ "name": "tok\"e\\n" }, [1, -2.5e3], null],
            "automountServiceAccountToken": false,
        })
    }

    #[test]
    fn passes_on_only_the_fields_that_are_read() {
        let annotations = json!({
            "a": "}]\"",
            "azure.workload.identity/client-id": "\u{1}\"é\\",
            "azure.workload.identity/typo": "x".repeat(10_000),
        });
        let wanted = json!({
            "kind": "ServiceAccount",
            "apiVersion": "v1",
            "metadata": {
                "name": "sa",
                "namespace": "ns",
                "resourceVersion": "7",
                "annotations": {
                    "azure.workload.identity/client-id": "\u{1}\"é\\",
                    "azure.workload.identity/typo": "",
                },
            },
        });
        let account = object(annotations);
        let list = json!({
            "kind": "List",
            "metadata": { "resourceVersion": "9", "continue": "c".repeat(8_000) },
            "items": [account, {}, account],
        });
        let mut wanted_list = list.clone();
        wanted_list["items"] = json!([wanted, {}, wanted]);
        let event = json!({ "type": "ADDED", "object": account });
        let wanted_event = json!({ "type": "ADDED", "object": wanted });
        for size in [1, 7, 100_000] {
            for (whole, wanted) in [
                (&account, &wanted),
                (&list, &wanted_list),
                (&event, &wanted_event),
            ] {
                let pretty = serde_json::to_string_pretty(whole).unwrap();
                for text in [whole.to_string(), pretty] {
                    let slim: Value = serde_json::from_str(&slimmed(&text, size)).unwrap();
                    assert_eq!(slim, *wanted);
                }
            }
        }
    }

    #[test]
    fn keeps_the_lines_of_a_watch() {
        let end = json!({ "type": "BOOKMARK", "object": { "metadata": {
            "resourceVersion": "8",
            "annotations": { "k8s.io/initial-events-end": "true" },
        } } });
        let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410 } });
        let text = format!("{end}\n{gone}\n");
        assert_eq!(slimmed(&text, 3), text);
    }

    #[test]
    fn an_account_of_any_size_takes_a_few_hundred_bytes() {
        let many: Value = (0..2_900)
            .map(|nth| (format!("azure.workload.identity/{nth}"), json!("")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let mut hostile = vec![many, json!({ "a": "x".repeat(250_000) })];
        for long in ["x", " ", "\u{1}", "é", "\u{10ffff}", "\\", "\""] {
            let value = long.repeat(250_000);
            hostile.push(json!({ "azure.workload.identity/client-id": value }));
        }
        for annotations in hostile {
            let slim = slimmed(&object(annotations).to_string(), 1_000);
            assert!(slim.len() < 1_000, "{}", slim.len());
            let slim: Value = serde_json::from_str(&slim).unwrap();
            let client_id = &slim["metadata"]["annotations"]["azure.workload.identity/client-id"];
            assert!(
                client_id
                    .as_str()
                    .is_none_or(|it| it.len() > Account::MAX_VALUE)
            );
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn keeps_the_fields_that_are_read_of_an_account(
            other in value(),
            client_id in "(.|[\"\\\\\\x00-\\x1f]){0,64}",
            key in "[a-z]{0,9}",
            size in 1_usize..64,
        ) {
            let mut account = object(json!({
                "a": client_id,
                "azure.workload.identity/client-id": client_id,
            }));
            account["metadata"][format!("x{key}")] = other.clone();
            account[format!("x{key}")] = other;
            let slim: Value = serde_json::from_str(&slimmed(&account.to_string(), size)).unwrap();
            for field in ["name", "namespace", "resourceVersion"] {
                prop_assert_eq!(&slim["metadata"][field], &account["metadata"][field]);
            }
            let annotations = json!({ "azure.workload.identity/client-id": client_id });
            prop_assert_eq!(&slim["metadata"]["annotations"], &annotations);
            prop_assert_eq!(slim.as_object().unwrap().len(), 3);
        }

        #[test]
        fn writes_little_for_bytes_that_are_not_json(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            size in 1_usize..64,
        ) {
            let (mut slim, mut out) = (Slim::default(), Vec::new());
            for piece in bytes.chunks(size) {
                slim.push(piece, &mut out);
            }
            prop_assert!(out.len() <= 3 * bytes.len());
        }
    }
}
