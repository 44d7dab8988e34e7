//! Client ids by object id or resource id.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::guid::Guid;

/// Client ids by object id or resource id: `ID=CLIENT_ID`, separated by `;`, `,` or line breaks. An id
/// that occurs twice has the client id of its last occurrence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityMap(BTreeMap<String, Guid>);

/// Some entries are not `ID=CLIENT_ID`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{} is not ID=CLIENT_ID with an object id or resource id and a GUID",
    .entries.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ")
)]
pub struct IdentityMapError {
    /// Every such entry as it was written. There is at least one.
    pub entries: Vec<String>,
}

impl IdentityMap {
    /// Object ids and resource ids in lower case, as Azure compares them, with their client ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Guid)> {
        self.0
            .iter()
            .map(|(id, client_id)| (id.as_str(), client_id))
    }

    /// Whether no id has a client id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for IdentityMap {
    type Err = IdentityMapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut map = BTreeMap::new();
        let mut mistakes = Vec::new();
        let entries = text.split([';', ',', '\n']).map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match pair(entry) {
                Some((id, client_id)) => {
                    map.insert(id, client_id);
                }
                None => mistakes.push(entry.to_owned()),
            }
        }
        if mistakes.is_empty() {
            Ok(Self(map))
        } else {
            Err(IdentityMapError { entries: mistakes })
        }
    }
}

impl fmt::Display for IdentityMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (id, client_id)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ";" };
            write!(formatter, "{separator}{id}={client_id}")?;
        }
        Ok(())
    }
}

fn pair(entry: &str) -> Option<(String, Guid)> {
    let (id, client_id) = entry.rsplit_once('=')?;
    let id = id.trim().to_ascii_lowercase();
    let client_id = client_id.parse().ok()?;
    (!id.is_empty()).then_some((id, client_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "91be0000-1111-2222-3333-444455556666";

    #[test]
    fn holds_object_and_resource_ids_in_lower_case() {
        let id = "/subscriptions/s/resourceGroups/RG/providers/x/userAssignedIdentities/a=b";
        let map: IdentityMap = format!("{id} = {GUID}; AB={GUID},\n").parse().unwrap();
        let ids: Vec<_> = map
            .iter()
            .map(|(id, client_id)| (id.to_owned(), client_id.as_str()))
            .collect();
        assert_eq!(
            ids,
            [(id.to_ascii_lowercase(), GUID), ("ab".to_owned(), GUID)]
        );
        assert_eq!(map.to_string().parse(), Ok(map));
        assert!(" ;,\n".parse::<IdentityMap>().unwrap().is_empty());
    }

    #[test]
    fn names_every_entry_that_is_not_a_pair() {
        let error = format!("a;b={GUID},=\n={GUID};c={GUID}x")
            .parse::<IdentityMap>()
            .unwrap_err();
        assert_eq!(
            error.entries,
            ["a", "=", &format!("={GUID}"), &format!("c={GUID}x")]
        );
        assert!(error.to_string().starts_with("\"a\", \"=\", "), "{error}");
    }
}
