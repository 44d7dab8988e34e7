//! Names of Kubernetes objects. In the path of a request, other text could name another object.

/// Whether an object may have the name (RFC 1123 subdomain).
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether a namespace may have the name (RFC 1123 label).
#[must_use]
pub fn is_label(text: &str) -> bool {
    let is_inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    text.len() <= 253
        && !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_names_of_kubernetes_objects() {
        for name in ["default", "a", "my-app.v1", "0", &"a".repeat(253)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "a.",
            "-a",
            "a-",
            "A",
            "a/b",
            "a?b",
            "a%2fb",
            "..",
            "a b",
            &"a".repeat(254),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
