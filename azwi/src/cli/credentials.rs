//! `--credentials`: documents of the Azure CLI, from files and standard input.

use std::convert::Infallible;
use std::io::{self, Read};
use std::str::FromStr;

use contract::value::is_guid;
use thiserror::Error;

use crate::azure::{self, Identity, Inventory, ReadError};

/// A document, and the client id of an application that it does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    client_id: Option<String>,
    /// The file, `-` for standard input.
    file: String,
}

impl Source {
    /// Standard input.
    pub(super) fn standard_input() -> Self {
        Self {
            client_id: None,
            file: "-".to_owned(),
        }
    }
}

/// A document cannot be read.
#[derive(Debug, Error)]
pub(super) enum CredentialsError {
    #[error("--credentials {file}: {error}")]
    File { file: String, error: io::Error },
    #[error("--credentials {file}: {error}")]
    Content { file: String, error: ReadError },
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let named = text.split_once('=').filter(|(id, _)| is_guid(id));
        Ok(match named {
            Some((id, file)) => Self {
                client_id: Some(id.to_owned()),
                file: file.to_owned(),
            },
            None => Self {
                client_id: None,
                file: text.to_owned(),
            },
        })
    }
}

/// Reads all documents, `None` without any.
pub(super) fn read(sources: &[Source]) -> Result<Option<Inventory>, CredentialsError> {
    if sources.is_empty() {
        return Ok(None);
    }
    let mut inventory = Inventory::default();
    for Source { client_id, file } in sources {
        let text = text(file).map_err(|error| CredentialsError::File {
            file: file.clone(),
            error,
        })?;
        let read = azure::read(&text, client_id.as_deref());
        let read = read.map_err(|error| CredentialsError::Content {
            file: file.clone(),
            error,
        })?;
        inventory.extend(read);
    }
    // An application without any federated credential is known too.
    for client_id in sources.iter().filter_map(|it| it.client_id.as_ref()) {
        if inventory.identity(client_id).is_none() {
            inventory.identities.push(Identity {
                name: client_id.clone(),
                client_id: client_id.clone(),
                ..Identity::default()
            });
        }
    }
    Ok(Some(inventory))
}

fn text(file: &str) -> io::Result<String> {
    let mut text = String::new();
    if file == "-" {
        io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file)?;
    }
    // PowerShell writes a byte order mark.
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_file_with_a_byte_order_mark() {
        let file = std::env::temp_dir().join(format!("azwi-mark-{}", std::process::id()));
        std::fs::write(&file, "\u{feff}[{\"appId\": \"a\"}]").unwrap();
        let source = file.to_str().unwrap().parse().unwrap();
        let inventory = read(&[source]);
        std::fs::remove_file(file).unwrap();
        assert!(inventory.unwrap().unwrap().identity("a").is_some());
    }

    #[test]
    fn reads_a_client_id_before_the_file() {
        let id = "11111111-2222-3333-4444-555555555555";
        let source: Source = format!("{id}=a=b.json").parse().unwrap();
        assert_eq!(
            (source.client_id.as_deref(), source.file.as_str()),
            (Some(id), "a=b.json")
        );
        let source: Source = "a=b.json".parse().unwrap();
        assert_eq!((source.client_id, source.file.as_str()), (None, "a=b.json"));
    }
}
