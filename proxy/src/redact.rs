//! Texts for logs and applications (law 8): identifiers shortened to what distinguishes two, tokens removed.

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

/// Removes `secret`, any part of it, and what has the form of a JSON Web Token, whole or cut short. A server
/// may repeat the request in its answer.
pub(crate) fn without_tokens(text: &str, secret: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_of_token) {
        let (before, run) = rest.split_at(start);
        let (run, after) = run.split_at(run.find(|c| !is_of_token(c)).unwrap_or(run.len()));
        let kept = token_in(run, secret).and_then(|at| run.get(..at));
        shown.push_str(before);
        shown.push_str(kept.unwrap_or(run));
        if kept.is_some() {
            shown.push_str("[token]");
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Where a token begins in a run of base64url characters and dots.
fn token_in(run: &str, secret: &str) -> Option<usize> {
    let is_long = |part: &str| part.len() >= SHORTEST;
    // `{"` in base64.
    let header = run.find("eyJ");
    if let Some(at) = header.filter(|at| run.get(*at..).is_some_and(is_long)) {
        return Some(at);
    }
    let parts = run.split('.').filter(|part| is_long(part)).count();
    let is_shared = |start| {
        let part = run.get(start..start + SHORTEST);
        part.is_some_and(|part| secret.contains(part))
    };
    (parts >= 3 || (0..run.len()).any(is_shared)).then_some(0)
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// In characters: the shortest part of a token that is removed. A shorter one gives nothing away, and
/// words and host names have such parts, too.
const SHORTEST: usize = 16;

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
    fn law_8_removes_tokens_whole_or_cut_short() {
        let secret =
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3VlciJ9.c2lnbmF0dXJlLW9mLWEtdG9rZW4";
        let [head, claims, signature] = secret.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts");
        };
        for hidden in [
            secret,
            &secret[..40],
            &secret[30..],
            &secret[30..60],
            head,
            claims,
            signature,
            "eyJhbGciOiJub25lIn0.e30.",
            "AAAAAAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBBBBBB.CCCCCCCCCCCCCCCCCCCC",
        ] {
            let text = format!("a '{hidden}', b=x{hidden} \u{fffd}{hidden}é");
            let shown = without_tokens(&text, secret);
            assert_eq!(shown.matches("[token]").count(), 3, "{hidden}: {shown}");
            assert!((0..hidden.len() - 16).all(|at| !shown.contains(&hidden[at..at + 16])));
        }
        for text in [
            "AADSTS700213: No matching federated identity record found for presented assertion subject \
             'system:serviceaccount:azure-workload-identity-system:azure-wi-webhook-controller-manager'.",
            "https://eastus.oic.prod-aks.azure.com/11111111-2222-3333-4444-555555555555/ eyJ",
            "",
        ] {
            assert_eq!(without_tokens(text, secret), text);
        }
    }

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
