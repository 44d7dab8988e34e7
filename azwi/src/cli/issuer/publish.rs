//! `azwi issuer publish`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use webhook::inject::printable;

use crate::cli::connection::Connection;
use crate::cli::jwks;
use crate::cli::output::{EXIT_FINDINGS, EXIT_NOT_CHECKED};
use crate::cli::terminal::{print_mistake, success};
use crate::command::Command;
use crate::facts::issuer::{DISCOVERY_PATH, KEYS_PATH, is_public};
use crate::facts::key_set::KeySet;
use crate::facts::read::{self, ReadError};
use crate::issuer::publish::{self, Documents};

/// Write the issuer's two documents into a directory, for any web server
///
/// Keys that the directory has from before stay: tokens that they signed are valid for up to a day.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The directory that is served at the issuer's URL
    directory: PathBuf,
    /// The issuer [that of the cluster]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// PEM files with the keys, separated by commas [the cluster's keys]
    #[arg(long, value_delimiter = ',', value_name = "FILE")]
    public_keys: Vec<PathBuf>,
    /// A key that no valid token has any more
    #[arg(long, value_name = "KEY ID")]
    drop_key: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Writes the documents.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (issuer, keys) = match sources(arguments) {
        Ok(sources) => sources,
        Err((code, sentence)) => {
            print_mistake(&sentence);
            return ExitCode::from(code);
        }
    };
    let directory = &arguments.directory;
    let written = publish::read(directory).and_then(|before| {
        let documents = publish::documents(&issuer, &keys, before.as_ref(), &arguments.drop_key)?;
        publish::write(directory, &documents).map(|()| documents)
    });
    match written {
        Ok(documents) => success(said(arguments, &documents).as_bytes()),
        Err(error) => {
            print_mistake(&error);
            ExitCode::from(EXIT_FINDINGS)
        }
    }
}

/// The issuer and the keys in use, from the options or the cluster.
fn sources(arguments: &Arguments) -> Result<(String, KeySet), (u8, String)> {
    let keys = match arguments.public_keys.as_slice() {
        [] => None,
        files => Some(jwks::read(files).map_err(|it| (EXIT_FINDINGS, it))?),
    };
    if let (Some(issuer), Some(keys)) = (&arguments.issuer, &keys) {
        return Ok((issuer.clone(), keys.clone()));
    }
    let given = (arguments.issuer.clone(), keys);
    let read = arguments.connection.run(async |cluster| {
        let issuer = match given.0 {
            Some(issuer) => issuer,
            None => {
                read::discovery_document(cluster.client.clone())
                    .await?
                    .issuer
            }
        };
        let keys = match given.1 {
            Some(keys) => keys,
            None => read::key_set(cluster.client).await?,
        };
        Ok::<_, ReadError>((issuer, keys))
    });
    let (issuer, keys) = read
        .map_err(|it| (EXIT_NOT_CHECKED, it.to_string()))?
        .map_err(|it| (EXIT_NOT_CHECKED, printable(&it.to_string())))?;
    if arguments.issuer.is_none() && !is_public(&issuer) {
        let issuer = printable(&issuer);
        let sentence = format!(
            "the cluster's issuer {issuer} is not public, so Entra cannot read it. Give --issuer, and see docs/self-managed.md"
        );
        return Err((EXIT_FINDINGS, sentence));
    }
    Ok((issuer, keys))
}

fn said(arguments: &Arguments, documents: &Documents) -> String {
    let directory = arguments.directory.display();
    let Documents {
        discovery,
        keys,
        added,
        kept,
    } = documents;
    let mut text = format!(
        "{directory}/{DISCOVERY_PATH}: issuer {}\n{directory}/{KEYS_PATH}: {} keys, {added} of them new\n",
        printable(&discovery.issuer),
        keys.keys.len(),
    );
    for id in kept {
        let option = Command::new("--drop-key").arg(id);
        let id = printable(id);
        text.push_str(&format!(
            "kept: key {id}, which the cluster does not use. A day after the rotation: {option}\n"
        ));
    }
    text
}
