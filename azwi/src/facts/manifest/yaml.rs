//! YAML and JSON as values with their lines.
//!
//! Everything is bounded, because aliases make a small text large: nodes of all documents with their texts, and their depth.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// A value, with the line where it starts.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
    /// The nodes below it, itself included, as [`weight`] counts them.
    size: usize,
    /// The levels below it, itself included.
    depth: usize,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Text, a number, a boolean, or null.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// The line of the key.
    pub(super) line: usize,
    pub(super) node: Node,
}

/// A text is not YAML.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, column {column}: {reason}")]
pub struct YamlError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

/// Every document of a text that is not empty.
///
/// # Errors
///
/// When it is not YAML, or too large.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, YamlError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

impl Node {
    /// The value of a key, `None` when the node is no map or lacks it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|it| &it.node)
    }

    /// The last entry of a key, as a repeated key replaces the one before it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().rev().find(|it| it.key == key)
    }

    /// The entries of a map, none for another node.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a scalar that is text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(value) => value.as_str(),
            _ => None,
        }
    }

    /// The same as JSON.
    pub(super) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let entries = entries.iter();
                let map: Map<_, _> = entries
                    .map(|it| (it.key.clone(), it.node.to_json()))
                    .collect();
                Value::Object(map)
            }
        }
    }

    fn new(line: usize, content: Content) -> Self {
        let children: Vec<&Self> = match &content {
            Content::Scalar(_) => Vec::new(),
            Content::List(items) => items.iter().collect(),
            Content::Map(entries) => entries.iter().map(|it| &it.node).collect(),
        };
        let own = match &content {
            Content::Scalar(value) => weight(value.as_str().unwrap_or_default()),
            Content::List(_) => 1,
            Content::Map(entries) => 1 + entries.iter().map(|it| weight(&it.key)).sum::<usize>(),
        };
        let size = own + children.iter().map(|it| it.size).sum::<usize>();
        let depth = 1 + children.iter().map(|it| it.depth).max().unwrap_or(0);
        Self {
            line,
            content,
            size,
            depth,
        }
    }
}

/// Makes nodes of events.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    /// Nodes made so far, copies of aliases included.
    nodes: usize,
}

/// A list or a map that has not ended.
struct Frame {
    line: usize,
    anchor: usize,
    collected: Collected,
}

enum Collected {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, usize)>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                self.count(weight(&text), span)?;
                if self.is_key_next() {
                    self.put_key(text.into_owned(), line);
                    return self.keep(anchor, Node::new(line, Content::Scalar(value)), span);
                }
                let node = Node::new(line, Content::Scalar(value));
                self.finish(anchor, node, span)
            }
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| error(span, "an alias is inside of its anchor"))?;
                if self.is_key_next() {
                    let key = node.text().ok_or_else(|| error(span, NO_KEY))?.to_owned();
                    self.count(weight(&key), span)?;
                    self.put_key(key, line);
                    return Ok(());
                }
                if self.open.len() + node.depth > MAX_DEPTH {
                    return Err(error(span, TOO_DEEP));
                }
                self.count(node.size, span)?;
                self.finish(0, node, span)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.start(anchor, Collected::List(Vec::new()), span)
            }
            Event::MappingStart(_, anchor, _) => {
                let entries = Vec::new();
                self.start(anchor, Collected::Map { entries, key: None }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, anchor: usize, collected: Collected, span: Span) -> Result<(), YamlError> {
        if self.is_key_next() {
            return Err(error(span, NO_KEY));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(error(span, TOO_DEEP));
        }
        self.count(1, span)?;
        self.open.push(Frame {
            line: span.start.line(),
            anchor,
            collected,
        });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), YamlError> {
        let Some(frame) = self.open.pop() else {
            return Ok(());
        };
        let content = match frame.collected {
            Collected::List(items) => Content::List(items),
            Collected::Map { entries, .. } => Content::Map(merged(entries)),
        };
        self.finish(frame.anchor, Node::new(frame.line, content), span)
    }

    /// Puts a node that has ended where it belongs.
    fn finish(&mut self, anchor: usize, node: Node, span: Span) -> Result<(), YamlError> {
        if anchor != 0 {
            self.keep(anchor, node.clone(), span)?;
        }
        match self.open.last_mut().map(|it| &mut it.collected) {
            None => {
                if !matches!(node.content, Content::Scalar(Value::Null)) {
                    self.documents.push(node);
                }
            }
            Some(Collected::List(items)) => items.push(node),
            Some(Collected::Map { entries, key }) => {
                if let Some((key, line)) = key.take() {
                    entries.push(Entry { key, line, node });
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, anchor: usize, node: Node, span: Span) -> Result<(), YamlError> {
        if anchor != 0 {
            self.count(node.size, span)?;
            self.anchors.insert(anchor, node);
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(error(
                span,
                "the documents have too many values, or too long ones",
            ));
        }
        Ok(())
    }

    fn is_key_next(&self) -> bool {
        let collected = self.open.last().map(|it| &it.collected);
        matches!(collected, Some(Collected::Map { key: None, .. }))
    }

    fn put_key(&mut self, text: String, line: usize) {
        let collected = self.open.last_mut().map(|it| &mut it.collected);
        if let Some(Collected::Map { key, .. }) = collected {
            *key = Some((text, line));
        }
    }
}

/// Resolves merge keys: `<<` takes the entries of other maps that the map itself lacks.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    let (merges, mut entries): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|it| it.key == "<<");
    if merges.is_empty() {
        return entries;
    }
    let mut known: BTreeSet<String> = entries.iter().map(|it| it.key.clone()).collect();
    for merge in merges {
        let maps = match merge.node.content {
            Content::List(maps) => maps,
            _ => vec![merge.node],
        };
        for entry in maps.iter().flat_map(Node::entries) {
            if known.insert(entry.key.clone()) {
                entries.push(entry.clone());
            }
        }
    }
    entries
}

/// How much a text counts: as one value, and one more for each [`TEXT`] bytes.
fn weight(text: &str) -> usize {
    1 + text.len() / TEXT
}

/// The value of a scalar, as kubectl reads it: YAML 1.1 without sexagesimal numbers.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.and_then(Tag::core_suffix) == Some("str");
    if is_text || style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|it: char| it.is_ascii_digit() || "+-.".contains(it)) {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    let whole = text.parse::<i64>().ok().map(Number::from);
    whole.or_else(|| Number::from_f64(text.parse().ok()?))
}

fn error(span: Span, reason: &str) -> YamlError {
    YamlError {
        line: span.start.line(),
        column: span.start.col() + 1,
        reason: reason.to_owned(),
    }
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        Self {
            line: error.marker().line(),
            column: error.marker().col() + 1,
            reason: error.info(),
        }
    }
}

const NO_KEY: &str = "a key has to be text";
const TOO_DEEP: &str = "lists and maps are nested too deeply";
/// Values of all documents together. A Deployment has some 200.
const MAX_NODES: usize = 2_000_000;
/// Bytes of text that count as a value: all files together have less than half of what is allowed.
const TEXT: usize = 64;
/// Less than serde_json's 128. A pod has some 12.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json(text: &str) -> Vec<Value> {
        documents(text).unwrap().iter().map(Node::to_json).collect()
    }

    #[test]
    fn reads_documents_as_kubectl_does() {
        assert_eq!(
            json(
                "# comment\n---\na: 1\nb: [yes, 'yes', \"1\", !!str 1, ~, 1.5, 0x1f, x]\n---\n---\nc: |\n  text\n"
            ),
            [
                json!({ "a": 1, "b": [true, "yes", "1", "1", null, 1.5, 31, "x"] }),
                json!({ "c": "text\n" })
            ]
        );
        assert_eq!(
            json("{\"a\":\t{\"b\": [1, true]}}"),
            [json!({ "a": { "b": [1, true] } })]
        );
    }

    #[test]
    fn resolves_aliases_and_merges() {
        let text = "base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\nlist: [*base]\n";
        assert_eq!(
            json(text),
            [
                json!({ "base": { "a": 1, "b": 2 }, "more": { "a": 1, "b": 3 }, "list": [{ "a": 1, "b": 2 }] })
            ]
        );
    }

    #[test]
    fn a_long_line_of_json_is_read() {
        let text = json!({ "items": vec!["x".repeat(3000); 3] }).to_string();
        assert_eq!(json(&text)[0].to_string(), text);
    }

    #[test]
    fn knows_lines() {
        let documents = documents("# one\na:\n  b: 1\n---\nc:\n- d\n").unwrap();
        assert_eq!(documents[0].get("a").unwrap().entry("b").unwrap().line, 3);
        assert_eq!(documents[1].line, 5);
        assert_eq!(documents[1].entry("c").unwrap().line, 5);
    }

    #[test]
    fn says_where_a_mistake_is() {
        let error = documents("a: 1\nb: [1, 2\nc: }\n").unwrap_err();
        assert!(error.line >= 2 && error.column >= 1, "{error}");
        assert!(
            documents("? [a]\n: 1\n")
                .unwrap_err()
                .reason
                .contains("key")
        );
        assert!(documents("a: &x [*x]\n").is_err());
    }

    #[test]
    fn bounds_aliases_and_depth() {
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        let mut chain = bomb.clone();
        for i in 1..200 {
            let last = format!("*a{}", i - 1);
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![last.clone(); 9].join(", "));
            chain += &format!("a{i}: &a{i} [{last}]\n");
        }
        assert!(documents(&bomb).unwrap_err().reason.contains("too many"));
        assert!(documents(&chain).unwrap_err().reason.contains("too deeply"));
        assert!(documents(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn bounds_the_text_of_aliases() {
        let text = "x".repeat(1_000_000);
        let of_values = format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 200].join(", "));
        let of_keys = format!("a: &a {text}\nb: [{}]\n", vec!["{*a : 1}"; 200].join(", "));
        for bomb in [of_values, of_keys] {
            assert!(documents(&bomb).unwrap_err().reason.contains("too long"));
        }
        assert!(documents(&format!("a: {}\n", text.repeat(60))).is_ok());
    }

    #[test]
    fn merges_many_keys() {
        // To compare each with each would take minutes.
        let keys = |letter: char| (0..100_000).map(move |nth| format!("{letter}{nth}: 1, "));
        let (base, own): (String, String) = (keys('a').collect(), keys('b').collect());
        let text = format!("base: &base {{{base}}}\nmore: {{<<: *base, {own}}}\n");
        let documents = documents(&text).unwrap();
        assert_eq!(documents[0].get("more").unwrap().entries().len(), 200_000);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a-c:{}\\[\\]&*!|>\"'#<,? \n\t0-9é]{0,80}") {
            if let Ok(documents) = documents(&text) {
                documents.iter().for_each(|it| drop(it.to_json()));
            }
        }

        #[test]
        fn no_unicode_panics(text in "\\PC{0,60}") {
            let _ = documents(&text);
        }
    }
}
