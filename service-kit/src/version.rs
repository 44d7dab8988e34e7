//! What `--version` prints: one line of JSON in the form of azure-workload-identity. Nothing in it depends on the
//! time and place of the build.

use std::env::consts;

/// The line, without its end.
///
/// `gitCommit` and `buildDate` are empty unless the variables `GIT_COMMIT` and `SOURCE_DATE_EPOCH` are set for
/// the build.
#[must_use]
pub fn json() -> String {
    let commit = option_env!("GIT_COMMIT").filter(|it| is_commit(it));
    let date = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok());
    format!(
        r#"{{"buildVersion":"v{}","gitCommit":"{}","buildDate":"{}","rustVersion":"{}","platform":"{}/{}"}}"#,
        contract::VERSION,
        commit.unwrap_or_default(),
        date.and_then(date_of).unwrap_or_default(),
        env!("COMPILER_VERSION"),
        consts::OS,
        architecture(consts::ARCH),
    )
}

fn is_commit(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Go's name, which image platforms have too.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Seconds since 1970 as a date of RFC 3339. Images are built with 0 where no date is given.
fn date_of(seconds: u64) -> Option<String> {
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return None;
    }
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= days_of(year) {
        days -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    let day = days + 1;
    Some(format!(
        "{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z"
    ))
}

fn days_of(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if is_leap { 366 } else { 365 }
}

/// The last second of the year 9999.
const MAX_SECONDS: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_json_in_upstreams_form() {
        let line = json();
        let start = format!(r#"{{"buildVersion":"v{}","gitCommit":""#, contract::VERSION);
        assert!(line.starts_with(&start), "{line}");
        let compiler = format!(r#","rustVersion":"{}.""#, env!("CARGO_PKG_RUST_VERSION"));
        assert!(line.contains(compiler.trim_end_matches('"')), "{line}");
        assert!(line.contains(r#","platform":"linux/a"#), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }

    #[test]
    fn writes_dates_and_leaves_out_what_is_none() {
        for (seconds, date) in [
            (1, "1970-01-01T00:00:01Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_796_083_199, "2026-11-30T23:59:59Z"),
            (MAX_SECONDS, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(date_of(seconds).as_deref(), Some(date));
        }
        for seconds in [0, MAX_SECONDS + 1, u64::MAX] {
            assert_eq!(date_of(seconds), None);
        }
    }

    #[test]
    fn a_commit_has_no_character_that_json_escapes() {
        assert!(is_commit("0a1b2c") && is_commit(""));
        assert!(!is_commit("a\"b") && !is_commit("a b"));
    }
}
