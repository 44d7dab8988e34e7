//! The header `Retry-After` (RFC 9110, 10.2.3).

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The pause that an answer asks for, in seconds or as a date; at most an hour. A date is compared with
/// the answer's own `Date`, so that only the server's clock counts, or with `now` without one. `None`
/// without the header, or with an invalid one.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let header = text(RETRY_AFTER)?;
    let wait = match header.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(header).ok()?;
            let answered = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
            until
                .duration_since(answered.unwrap_or(now))
                .unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST))
}

const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn pause(value: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn reads_seconds_and_dates() {
        assert_eq!(pause("60", None), Some(60));
        assert_eq!(pause(" 0 ", None), Some(0));
        assert_eq!(pause("Sun, 06 Nov 1994 08:50:37 GMT", None), Some(60));
        assert_eq!(pause("Sunday, 06-Nov-94 08:50:37 GMT", None), Some(60));
        assert_eq!(pause("Sun Nov  6 08:50:37 1994", None), Some(60));
    }

    #[test]
    fn compares_a_date_with_the_answers_own() {
        let answered = Some("Mon, 07 Nov 1994 10:00:00 GMT");
        assert_eq!(pause("Mon, 07 Nov 1994 10:00:30 GMT", answered), Some(30));
        assert_eq!(pause("Mon, 07 Nov 1994 09:00:00 GMT", answered), Some(0));
        assert_eq!(
            pause("Sun, 06 Nov 1994 08:50:37 GMT", Some("soon")),
            Some(60)
        );
    }

    #[test]
    fn caps_the_time_at_an_hour() {
        assert_eq!(pause("100000", None), Some(3600));
        assert_eq!(pause("Fri, 06 Nov 2093 08:49:37 GMT", None), Some(3600));
        for text in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(pause(text, None), None, "{text}");
        }
    }
}
