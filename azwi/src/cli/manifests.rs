//! `--filename`: manifests from files, folders and standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::facts::manifest::File;

/// A manifest cannot be read.
#[derive(Debug, Error)]
pub(super) enum FileError {
    #[error("--filename {name}: {error}")]
    Read { name: String, error: io::Error },
    #[error("--filename {0}: there is no file with the ending .yaml, .yml or .json")]
    Empty(String),
    #[error("--filename {0}: the files are larger than 64 MiB together")]
    Size(String),
}

/// Reads every file, and those of a folder by their endings, as kubectl does.
pub(super) fn read(names: &[String]) -> Result<Vec<File>, FileError> {
    let mut files = Vec::new();
    let mut left = MAX_BYTES;
    for name in names {
        let path = Path::new(name);
        if name == "-" || !path.is_dir() {
            files.push(file(name.clone(), &mut left)?);
            continue;
        }
        let known = files.len();
        for path in folder(path).map_err(|error| FileError::Read {
            name: name.clone(),
            error,
        })? {
            files.push(file(path.to_string_lossy().into_owned(), &mut left)?);
        }
        if files.len() == known {
            return Err(FileError::Empty(name.clone()));
        }
    }
    Ok(files)
}

fn file(name: String, left: &mut u64) -> Result<File, FileError> {
    let mut text = String::new();
    let read = if name == "-" {
        io::stdin().take(*left).read_to_string(&mut text)
    } else {
        fs::File::open(&name).and_then(|it| it.take(*left).read_to_string(&mut text))
    };
    let read = read.map_err(|error| FileError::Read {
        name: name.clone(),
        error,
    })?;
    *left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
    if *left == 0 {
        return Err(FileError::Size(name));
    }
    Ok(File { name, text })
}

/// The manifests of a folder, by name. What Kustomize reads is no manifest.
fn folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|it| it.to_str());
        let is_manifest = matches!(ending, Some("yaml" | "yml" | "json"));
        let stem = path.file_stem().and_then(|it| it.to_str());
        if is_manifest && stem != Some("kustomization") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Bytes of all files together.
const MAX_BYTES: u64 = 64 << 20;
