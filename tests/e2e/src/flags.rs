//! Flags of the control plane's components, which a test changes as an operator does.

use std::fs;
use std::path::Path;

use testkit::process::pids;

use crate::installed::restart;

/// Where the node reads flags from when it starts a component: a file with the component's name, one flag a line.
const FOLDER: &str = "/run/cluster/flags";

/// The values of a flag of a running component, in their order.
///
/// # Panics
///
/// When the component does not run.
#[must_use]
pub fn flags_of(component: &str, flag: &str) -> Vec<String> {
    let pid = pids(component).into_iter().next();
    let pid = pid.unwrap_or_else(|| panic!("{component} does not run"));
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("the process is there");
    let values = line.split('\0').filter_map(|it| it.strip_prefix(flag));
    let values = values.filter_map(|it| it.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// Restarts a component with these flags, each in place of all of its name, or with the usual ones when there are none.
/// Waits until it runs, and until the API server is ready.
///
/// # Panics
///
/// When it cannot be restarted.
pub async fn restart_with(component: &str, flags: &[String]) {
    let file = Path::new(FOLDER).join(component);
    fs::create_dir_all(FOLDER).expect("the folder can be made");
    if flags.is_empty() {
        let _ = fs::remove_file(&file);
    } else {
        fs::write(&file, flags.join("\n")).expect("the file can be written");
    }
    restart(component).await;
}
