//! Claims and capabilities that a request asks for, as Entra's token endpoint takes them: in the parameter
//! `claims` (OpenID Connect Core, 5.5).

use serde_json::{Map, Value, json};

/// The claims of a request. `capabilities` is the parameter `xms_cc`, a list such as `cp1`. A text that is
/// not of its form is ignored, as IMDS ignores it.
pub(super) fn claims(capabilities: Option<&str>, claims: Option<&str>) -> Option<Box<str>> {
    let claims = claims.filter(|text| text.len() <= LONGEST);
    let claims: Option<Map<String, Value>> = claims.and_then(|it| serde_json::from_str(it).ok());
    let capabilities = capabilities.filter(|text| is_list(text));
    if claims.is_none() && capabilities.is_none() {
        return None;
    }
    let mut claims = claims.unwrap_or_default();
    if let Some(list) = capabilities {
        let values: Vec<_> = list.split(',').collect();
        let token = claims.entry("access_token").or_insert_with(|| json!({}));
        if let Some(token) = token.as_object_mut() {
            token.insert("xms_cc".to_owned(), json!({ "values": values }));
        }
    }
    Some(Value::Object(claims).to_string().into())
}

fn is_list(text: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_part_of_name);
    text.len() <= LONGEST_LIST && text.split(',').all(is_name)
}

fn is_part_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// In bytes. Bounds what a key holds in memory.
const LONGEST: usize = 2048;
const LONGEST_LIST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_claims_as_entra_takes_them() {
        for (capabilities, given, wanted) in [
            (
                Some("cp1"),
                None,
                r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#,
            ),
            (
                Some("ProtAuth_2"),
                None,
                r#"{"access_token":{"xms_cc":{"values":["ProtAuth_2"]}}}"#,
            ),
            (
                Some("cp1,cp2"),
                Some(r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#),
                r#"{"access_token":{"nbf":{"essential":true,"value":"1"},"xms_cc":{"values":["cp1","cp2"]}}}"#,
            ),
            (None, Some(r#"{ "a": null }"#), r#"{"a":null}"#),
            (
                Some("cp1"),
                Some(r#"{"access_token":1}"#),
                r#"{"access_token":1}"#,
            ),
        ] {
            assert_eq!(claims(capabilities, given).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn ignores_claims_in_another_form() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST));
        for given in ["", "x", "[]", "1", long.as_str()] {
            assert_eq!(claims(None, Some(given)), None, "{given}");
        }
        let long = "cp1,".repeat(20);
        for list in ["", ",", "a b", "\"", long.as_str()] {
            assert_eq!(claims(Some(list), None), None, "{list}");
        }
    }
}
