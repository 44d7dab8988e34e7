//! Identifiers in logs, shortened (law 8): enough of each to distinguish two.

use std::fmt;

use contract::value::is_guid;

/// Shows the first four characters of an identifier.
pub(crate) fn short(id: &str) -> impl fmt::Display + '_ {
    fmt::from_fn(move |formatter| {
        let head = id.char_indices().nth(4).and_then(|(end, _)| id.get(..end));
        let head = head.unwrap_or(id);
        write!(formatter, "{head}####")
    })
}

/// Shows a text with every GUID in it shortened.
pub(crate) fn guids(text: &str) -> impl fmt::Display + '_ {
    fmt::from_fn(move |formatter| {
        let mut rest = text;
        while let Some((before, guid, after)) = next_guid(rest) {
            write!(formatter, "{before}{}", short(guid))?;
            rest = after;
        }
        formatter.write_str(rest)
    })
}

fn next_guid(text: &str) -> Option<(&str, &str, &str)> {
    text.char_indices().find_map(|(start, _)| {
        let (before, rest) = text.split_at(start);
        let (guid, after) = rest.split_at_checked(36)?;
        is_guid(guid).then_some((before, guid, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_identifiers() {
        assert_eq!(short("91be1234-0000").to_string(), "91be####");
        assert_eq!(short("é").to_string(), "é####");
        assert_eq!(
            guids("a 91be0000-1111-2222-3333-444455556666/é, 11110000-1111-2222-3333-44445555666")
                .to_string(),
            "a 91be####/é, 11110000-1111-2222-3333-44445555666",
        );
    }
}
