//! What processes on the node use.

use std::fs;

use tokio::process::Command;

/// The process ids of all that run a program of this name.
///
/// # Panics
/// When this is not the test node.
pub async fn pids(program: &str) -> Vec<String> {
    let found = Command::new("pidof").arg(program).output().await;
    let found = found.expect("pidof is on the test node").stdout;
    let pids = String::from_utf8_lossy(&found);
    pids.split_whitespace().map(str::to_owned).collect()
}

/// Resident memory of a process that still runs, in KiB.
pub fn resident_kib(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many files a process that still runs has open.
pub fn open_files(pid: &str) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// What a process has had of the processors, in hundredths of a second (proc(5)).
pub fn cpu_ticks(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}
