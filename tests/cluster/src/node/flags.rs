//! Flags that a test sets for the next start of a component.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result};

/// Where a test writes a file with the component's name, a flag a line.
const FOLDER: &str = "/run/cluster/flags";

/// The command with the flags of the component's file, each in place of all of its name. `None` without a file.
pub(super) fn applied(name: &str, command: &Command) -> Result<Option<Command>> {
    let file = Path::new(FOLDER).join(name);
    let wanted = match fs::read_to_string(&file) {
        Ok(wanted) => wanted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut changed = Command::new(command.get_program());
    changed
        .arg0(name)
        .args(merged(command.get_args().map(OsString::from), &wanted))
        .env_clear()
        .stdin(Stdio::null())
        .process_group(0);
    let variables = command.get_envs();
    changed.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    Ok(Some(changed))
}

/// The usual arguments without those that are set, and those.
fn merged(usual: impl Iterator<Item = OsString>, wanted: &str) -> Vec<OsString> {
    let wanted: Vec<&str> = wanted.split_whitespace().collect();
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let set: BTreeSet<String> = wanted.iter().map(|it| name(it)).collect();
    let is_kept = |it: &OsString| !set.contains(&name(&it.to_string_lossy()));
    usual
        .filter(is_kept)
        .chain(wanted.into_iter().map(OsString::from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_replaces_all_of_its_name_and_a_new_one_is_added() {
        let usual = ["--key=a", "--key=b", "--key-file=c", "--other=d"];
        let usual = usual.map(OsString::from).into_iter();
        let merged = merged(usual, "--key=e\n--key=f\n--new\n");
        let expected = ["--key-file=c", "--other=d", "--key=e", "--key=f", "--new"];
        assert_eq!(merged, expected);
    }
}
