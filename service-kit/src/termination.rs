//! The termination message of a container, which `kubectl describe pod` shows.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The kubelet's default `terminationMessagePath`.
pub const LOG: &str = "/dev/termination-log";

/// Writes the message. Outside Kubernetes there is no such file, and none is created.
pub fn write(log: &Path, message: &str) {
    let file = OpenOptions::new().append(true).open(log);
    // Without the file, standard error alone has the message.
    let _ = file.and_then(|mut file| file.write_all(message.as_bytes()));
}
