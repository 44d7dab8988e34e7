//! What a process uses, read from `/proc`, and the end of its log. A process that has ended gives
//! `None`.

use std::fs;
use std::path::Path;

/// The process ids of all that run a program of this name.
///
/// # Panics
///
/// When `/proc` cannot be read.
#[must_use]
pub fn pids(program: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc can be read").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| command(*pid).is_some_and(|name| name == program))
        .collect()
}

/// Resident memory, in KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> Option<u64> {
    kib(&read(pid, "status")?, "VmRSS:")
}

/// Resident memory that no file backs, in KiB: heap and stacks.
#[must_use]
pub fn anonymous_kib(pid: u32) -> Option<u64> {
    kib(&read(pid, "status")?, "RssAnon:")
}

/// The most resident memory since the process started, in KiB.
#[must_use]
pub fn peak_resident_kib(pid: u32) -> Option<u64> {
    kib(&read(pid, "status")?, "VmHWM:")
}

/// How many files the process has open.
#[must_use]
pub fn open_files(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// User and system time since the process started, in clock ticks: hundredths of a second on every
/// Linux that runs these tests (proc_pid_stat(5)).
#[must_use]
pub fn cpu_ticks(pid: u32) -> Option<u64> {
    ticks(&read(pid, "stat")?)
}

/// The last lines of a log, each behind a bar; or why it cannot be read.
#[must_use]
pub fn end_of_log(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => format!(
            "the end of {}:\n{}",
            path.display(),
            last_lines(&String::from_utf8_lossy(&bytes))
        ),
        Err(error) => format!("cannot read the log {}: {error}", path.display()),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES);
    let shown = lines.iter().skip(skipped);
    let shown: Vec<String> = shown.map(|line| format!("  | {line}")).collect();
    if shown.is_empty() {
        "  | (empty)".to_owned()
    } else {
        shown.join("\n")
    }
}

fn read(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// The name of the program that a process was started with. The kernel's own short name for it
/// (`comm`) has 15 characters at most.
fn command(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = line.split(|byte| *byte == 0).next()?;
    let program = Path::new(std::str::from_utf8(program).ok()?);
    Some(program.file_name()?.to_str()?.to_owned())
}

fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The second field is the program's name in brackets, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind_the_name) = stat.rsplit_once(')')?;
    let mut fields = behind_the_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// How many lines [`end_of_log`] shows.
const LINES: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 90 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S"), None);
    }

    #[test]
    fn reads_memory_by_its_key() {
        let status = "Name:\tproxy\nVmHWM:\t    5120 kB\nVmRSS:\t    4608 kB\n";
        assert_eq!(kib(status, "VmRSS:"), Some(4608));
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[test]
    fn reads_a_process_that_runs_and_none_that_ended() {
        let own = std::process::id();
        assert!(resident_kib(own).unwrap() > 0);
        // Read first: other tests of the process allocate meanwhile.
        let resident = resident_kib(own);
        assert!(peak_resident_kib(own) >= resident);
        assert!(anonymous_kib(own) <= resident_kib(own));
        assert!(anonymous_kib(own).unwrap() > 0);
        assert!(open_files(own).unwrap() > 0);
        assert!(cpu_ticks(own).is_some());
        assert_eq!(resident_kib(u32::MAX), None);
        assert_eq!(open_files(u32::MAX), None);
        assert_eq!(cpu_ticks(u32::MAX), None);
        assert!(pids(&command(own).unwrap()).contains(&own));
    }

    #[test]
    fn shows_the_last_thirty_lines() {
        let text: String = (1..=40).map(|n| format!("line {n}\n")).collect();
        let shown = last_lines(&text);
        assert!(shown.starts_with("  | line 11\n"), "{shown}");
        assert!(shown.ends_with("  | line 40"), "{shown}");
    }

    #[test]
    fn says_that_a_log_is_empty() {
        assert_eq!(last_lines(""), "  | (empty)");
    }
}
