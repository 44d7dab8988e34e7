//! JSON as bytes, appended to a text.

use serde::Serialize;

/// A value that is appended as JSON.
pub(crate) trait WriteJson {
    /// Appends the value.
    fn write(&self, text: &mut Vec<u8>);
}

/// Appends a list as JSON.
pub(crate) fn write_list(text: &mut Vec<u8>, items: &[impl WriteJson]) {
    text.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        item.write(text);
    }
    text.push(b']');
}

/// Appends a value as JSON.
pub(crate) fn write_json<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) {
    // It cannot fail: a Vec takes every byte, and every map key is a string.
    let written = serde_json::to_writer(text, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Appends a string as JSON. Most strings need no escapes, which serde_json looks for byte by byte.
pub(crate) fn write_string(text: &mut Vec<u8>, string: &str) {
    if needs_escapes(string) {
        return write_json(text, string);
    }
    text.push(b'"');
    text.extend_from_slice(string.as_bytes());
    text.push(b'"');
}

/// RFC 8259 section 7. Reads to the end, so that the compiler compares many bytes at a time.
fn needs_escapes(string: &str) -> bool {
    let bytes = string.bytes();
    bytes.fold(false, |found, byte| {
        found | (byte < b' ') | (byte == b'"') | (byte == b'\\')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn writes_any_string_as_serde_json_does(string in any::<String>()) {
            let mut text = b"before".to_vec();
            write_string(&mut text, &string);
            let expected = format!("before{}", serde_json::to_string(&string).unwrap());
            prop_assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn escapes_what_json_requires() {
        for byte in 0..128_u8 {
            let string = format!("a{}z", char::from(byte));
            let mut text = Vec::new();
            write_string(&mut text, &string);
            assert_eq!(text, serde_json::to_vec(&string).unwrap(), "{byte}");
        }
    }
}
