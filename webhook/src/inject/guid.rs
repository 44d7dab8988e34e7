//! The syntax of client ids and tenants.

/// Whether the text is a GUID in its usual form, `8-4-4-4-12` hexadecimal digits.
pub(crate) fn is_guid(text: &str) -> bool {
    let mut groups = text.split('-');
    let shape_fits = [8, 4, 4, 4, 12].into_iter().all(|length| {
        groups.next().is_some_and(|group| {
            group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    shape_fits && groups.next().is_none()
}

/// Whether the text can be a tenant: a GUID or a domain, by the characters that Entra's SDKs accept.
pub fn is_tenant(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_guids_in_their_usual_form_alone() {
        assert!(is_guid("1b4db7eb-4057-5ddf-91e0-36dec72071f5"));
        assert!(is_guid("1B4DB7EB-4057-5DDF-91E0-36DEC72071F5"));
        for text in [
            "",
            "1b4db7eb40575ddf91e036dec72071f5",
            "{1b4db7eb-4057-5ddf-91e0-36dec72071f5}",
            "1b4db7eb-4057-5ddf-91e0-36dec72071f5-",
            "1b4db7eb-4057-5ddf-91e0-36dec72071fg",
            "my-app",
        ] {
            assert!(!is_guid(text), "{text:?}");
        }
    }

    #[test]
    fn accepts_guids_and_domains_as_tenants() {
        assert!(is_tenant("contoso.onmicrosoft.com"));
        assert!(is_tenant("11111111-2222-3333-4444-555555555555"));
        for text in ["", "a b", "a/b", "https://x", "a\n"] {
            assert!(!is_tenant(text), "{text:?}");
        }
    }
}
