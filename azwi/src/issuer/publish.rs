//! The two documents in a directory, for any web server. Keys of earlier documents stay: tokens that they signed
//! are valid for up to a day.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::facts::issuer::{DISCOVERY_PATH, Discovery, KEYS_PATH};
use crate::facts::key_set::{Key, KeySet};

/// The documents cannot be written.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The issuer is nothing that Entra reads.
    #[error("issuer {0:?} is not an https URL without query and fragment, which Entra needs")]
    Issuer(String),
    /// The directory belongs to another issuer.
    #[error(
        "the directory has the documents of issuer {0:?}: give another directory, or remove them"
    )]
    OtherIssuer(String),
    /// A key set has a private key.
    #[error("key {0:?} has its private part: a document for the public must not have it")]
    Secret(String),
    /// No key is usable.
    #[error(
        "none of the keys is RSA with algorithm RS256, use sig and a key id: Entra accepts no others"
    )]
    NoKey,
    /// A key to drop is in use.
    #[error("key {0:?} is one that the cluster uses: it cannot be dropped")]
    DropUsed(String),
    /// A key to drop is unknown.
    #[error("there is no key {0:?} to drop")]
    DropUnknown(String),
    /// A document in the directory is not one.
    #[error("{0} is no such document: {1}. Remove it to start again")]
    Malformed(PathBuf, serde_json::Error),
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
}

/// The documents to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Documents {
    /// The discovery document.
    pub discovery: Discovery,
    /// The key set: keys in use first, then those that are kept.
    pub keys: KeySet,
    /// How many of them were not there.
    pub added: usize,
    /// Ids of the keys that are kept though they are not in use.
    pub kept: Vec<String>,
}

/// The documents of an issuer with these keys in use, beside what was published before, without the keys `drop`.
///
/// # Errors
///
/// When the result would be useless to Entra, or dangerous.
pub fn documents(
    issuer: &str,
    used: &KeySet,
    before: Option<&(Discovery, KeySet)>,
    drop: &[String],
) -> Result<Documents, PublishError> {
    let is_odd = |it: char| it.is_whitespace() || it.is_control() || "?#".contains(it);
    if !issuer.starts_with("https://") || issuer.contains(is_odd) {
        return Err(PublishError::Issuer(issuer.to_owned()));
    }
    if let Some((discovery, _)) = before.filter(|(it, _)| it.issuer != issuer) {
        return Err(PublishError::OtherIssuer(discovery.issuer.clone()));
    }
    let none = KeySet::default();
    let before = before.map_or(&none, |(_, keys)| keys);
    for id in drop {
        if used.key(id).is_some() {
            return Err(PublishError::DropUsed(id.clone()));
        }
        if before.key(id).is_none() {
            return Err(PublishError::DropUnknown(id.clone()));
        }
    }
    let is_kept = |it: &&Key| used.key(it.id()).is_none() && !drop.iter().any(|id| id == it.id());
    let kept: Vec<Key> = before.keys.iter().filter(is_kept).cloned().collect();
    let ids = kept.iter().map(|it| it.id().to_owned()).collect();
    let keys = KeySet {
        keys: used.keys.iter().cloned().chain(kept).collect(),
    };
    if let Some(secret) = keys.keys.iter().find(|it| it.is_secret()) {
        return Err(PublishError::Secret(secret.id().to_owned()));
    }
    if !used.keys.iter().any(Key::is_usable) {
        return Err(PublishError::NoKey);
    }
    let is_new = |it: &&Key| before.key(it.id()).is_none();
    Ok(Documents {
        discovery: Discovery::of(issuer),
        added: used.keys.iter().filter(is_new).count(),
        keys,
        kept: ids,
    })
}

/// What a directory has from before.
///
/// # Errors
///
/// When a file is there that is no such document.
pub fn read(directory: &Path) -> Result<Option<(Discovery, KeySet)>, PublishError> {
    let discovery = read_file(&directory.join(DISCOVERY_PATH))?;
    let keys = read_file(&directory.join(KEYS_PATH))?;
    Ok(match (discovery, keys) {
        (Some(discovery), keys) => Some((discovery, keys.unwrap_or_default())),
        // Of no known issuer: its keys may be another cluster's.
        (None, _) => None,
    })
}

fn read_file<T: serde::de::DeserializeOwned>(file: &Path) -> Result<Option<T>, PublishError> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| PublishError::Malformed(file.to_owned(), error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PublishError::File(file.to_owned(), error)),
    }
}

/// Writes the documents, the keys first: a token's key must be there when its issuer is.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(directory: &Path, documents: &Documents) -> Result<(), PublishError> {
    write_file(&directory.join(KEYS_PATH), &documents.keys)?;
    write_file(&directory.join(DISCOVERY_PATH), &documents.discovery)
}

/// Replaces a file at once: a web server may read it at any time.
fn write_file(file: &Path, document: &impl serde::Serialize) -> Result<(), PublishError> {
    let failed = |error| PublishError::File(file.to_owned(), error);
    let mut text = serde_json::to_vec_pretty(document).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let new = file.with_extension("new");
    fs::write(&new, text).map_err(failed)?;
    fs::rename(&new, file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example.com";

    fn key(id: &str) -> Key {
        let text = r#"{"use":"sig","kty":"RSA","alg":"RS256","n":"AQ","e":"AQAB"}"#;
        let mut key: Key = serde_json::from_str(text).unwrap();
        key.kid = Some(id.to_owned());
        key
    }

    fn set(ids: &[&str]) -> KeySet {
        KeySet {
            keys: ids.iter().map(|it| key(it)).collect(),
        }
    }

    fn before(ids: &[&str]) -> (Discovery, KeySet) {
        (Discovery::of(ISSUER), set(ids))
    }

    fn ids(documents: &Documents) -> Vec<&str> {
        documents.keys.keys.iter().map(Key::id).collect()
    }

    #[test]
    fn a_rotation_keeps_the_old_key_until_it_is_dropped() {
        let first = documents(ISSUER, &set(&["one"]), None, &[]).unwrap();
        assert_eq!((ids(&first), first.added), (vec!["one"], 1));
        let rotated = documents(ISSUER, &set(&["two"]), Some(&before(&["one"])), &[]).unwrap();
        assert_eq!((ids(&rotated), rotated.added), (vec!["two", "one"], 1));
        assert_eq!(rotated.kept, ["one"]);
        let drop = ["one".to_owned()];
        let last = documents(
            ISSUER,
            &set(&["two"]),
            Some(&before(&["two", "one"])),
            &drop,
        );
        let last = last.unwrap();
        assert_eq!((ids(&last), last.added), (vec!["two"], 0));
    }

    #[test]
    fn refuses_what_would_break_or_expose_the_cluster() {
        let refused = |issuer: &str, used: &KeySet, before, drop: &str| {
            let drop: Vec<String> = drop.split_terminator(',').map(str::to_owned).collect();
            documents(issuer, used, before, &drop)
                .unwrap_err()
                .to_string()
        };
        let used = set(&["one"]);
        let mut secret = set(&["one"]);
        secret.keys[0].other.insert("d".to_owned(), "AQ".into());
        let mut elliptic = set(&["one"]);
        elliptic.keys[0].kty = "EC".to_owned();
        let other = (Discovery::of("https://other.example.com"), set(&[]));
        for (error, part) in [
            (
                refused("http://issuer.example.com", &used, None, ""),
                "not an https URL",
            ),
            (
                refused("https://issuer.example.com/?a", &used, None, ""),
                "not an https URL",
            ),
            (
                refused(ISSUER, &used, Some(&other), ""),
                "of issuer \"https://other.example.com\"",
            ),
            (refused(ISSUER, &used, None, "one"), "the cluster uses"),
            (refused(ISSUER, &used, None, "two"), "no key \"two\""),
            (refused(ISSUER, &secret, None, ""), "private part"),
            (refused(ISSUER, &elliptic, None, ""), "RS256"),
            (refused(ISSUER, &set(&[]), None, ""), "RS256"),
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
