//! Foreign text in JSON and YAML.

use std::fmt::Write;

use contract::terminal::is_control;
use serde_json::Value;

/// JSON with every character escaped that controls a terminal. It has the same values.
#[must_use]
pub fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        // In JSON, line feeds are only between values; a byte order mark is none of YAML's characters.
        if character == '\u{feff}' || (character != '\n' && is_control(character)) {
            // Writing to a String cannot fail. All of these have four hexadecimal digits.
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// A string of JSON, which is one of YAML too.
#[must_use]
pub fn string(text: &str) -> String {
    escaped(&Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn has_the_same_values_and_controls_no_terminal(text in "([\u{1b}\u{7f}\u{9b}\u{202e}\u{2028}\u{feff}\n\"\\\\]|\\PC|.){0,12}") {
            let document = Value::from(vec![text]);
            let written = escaped(&serde_json::to_string_pretty(&document).unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), document);
            prop_assert!(!written.replace('\n', "").contains(is_control));
        }
    }
}
