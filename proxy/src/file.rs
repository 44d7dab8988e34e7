//! Files whose path is a setting, read without a wait: an attacker may have put something else there.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// Opens a regular file, or what a symbolic link leads to. Does not wait for the writer of a FIFO.
///
/// # Errors
///
/// The file cannot be opened, or is not a regular file.
pub(crate) fn open(path: &Path) -> Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file",
        ))
    }
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
///
/// As [`open`], or the file is larger.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it is larger than {} KiB", most / 1024);
        return Err(Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    #[test]
    fn reads_regular_files_of_a_limited_size_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("proxy-file-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let [file, link, fifo] = ["file", "link", "fifo"].map(|name| directory.join(name));
        std::fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        assert_eq!(read(&link, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        for other in [&fifo, &directory, Path::new("/dev/zero")] {
            let error = read(other, 5).unwrap_err().to_string();
            assert_eq!(error, "it is not a regular file", "{}", other.display());
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
