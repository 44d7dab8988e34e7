//! The time, and its formats in Azure's answers.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| {
            i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
        })
}

/// `2026-01-31 23:59:59Z`, as in Entra's errors.
pub(crate) fn timestamp(seconds: i64) -> String {
    let (date, time) = civil(seconds);
    format!("{date} {time}Z")
}

/// `2026-01-31T23:59:59.0000000Z`, as in the text of AADSTS700024.
pub(crate) fn precise(seconds: i64) -> String {
    let (date, time) = civil(seconds);
    format!("{date}T{time}.0000000Z")
}

/// Date and time of day in UTC, by the days-to-civil rule of the proleptic Gregorian calendar with
/// years that begin in March.
fn civil(seconds: i64) -> (String, String) {
    let days = seconds.div_euclid(86_400) + 719_468;
    let second = seconds.rem_euclid(86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{:02}:{:02}:{:02}",
            second / 3_600,
            second / 60 % 60,
            second % 60
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_times_as_azure_does() {
        assert_eq!(timestamp(0), "1970-01-01 00:00:00Z");
        assert_eq!(timestamp(1_709_210_096), "2024-02-29 12:34:56Z");
        assert_eq!(precise(4_102_444_799), "2099-12-31T23:59:59.0000000Z");
    }

    proptest::proptest! {
        #[test]
        fn a_day_later_is_the_next_date(day in 0_i64..40_000) {
            let (date, _) = civil(day * 86_400);
            let (next, time) = civil((day + 1) * 86_400);
            proptest::prop_assert_eq!(time, "00:00:00");
            proptest::prop_assert!(next > date, "{} {}", date, next);
            let first = next.ends_with("-01");
            proptest::prop_assert!(first || next.get(..8) == date.get(..8), "{} {}", date, next);
        }
    }
}
