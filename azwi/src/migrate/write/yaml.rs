//! Values as YAML, in block style.

use serde_json::Value;

use crate::document;

/// A value as a YAML document.
#[must_use]
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                indent(out, depth);
                out.push_str(&text(key));
                out.push(':');
                write_nested(out, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(out, depth);
                out.push('-');
                write_nested(out, item, depth + 1);
            }
        }
        scalar => {
            indent(out, depth);
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
}

fn write_nested(out: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        write(out, value, depth);
    } else {
        out.push(' ');
        out.push_str(&inline(value));
        out.push('\n');
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(it) => text(it),
        // Everything else is the same in JSON and in YAML.
        other => other.to_string(),
    }
}

/// A string: as it is where YAML reads it as one, else as JSON, which YAML reads as well.
fn text(text: &str) -> String {
    let is_plain = text.starts_with(|it: char| it.is_ascii_alphabetic())
        && text
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || "-_./".contains(it));
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_plain && !words.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    document::string(text)
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writes_blocks_and_quotes_what_yaml_reads_otherwise() {
        let value = json!({
            "a": { "azure.workload.identity/use": "true", "b": null, "c": {} },
            "d": ["plain", "1", 2, { "e": "x: y" }],
        });
        let expected = "a:\n  azure.workload.identity/use: \"true\"\n  b: null\n  c: {}\n\
                        d:\n  - plain\n  - \"1\"\n  - 2\n  -\n    e: \"x: y\"\n";
        assert_eq!(yaml(&value), expected);
    }
}
