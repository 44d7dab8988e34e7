//! The header `Retry-After` (RFC 9110, 10.2.3).

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How long an answer asks to be left alone: a number of seconds or a date, an hour at most. A date
/// is compared with the answer's own, or with `now` if it has none, so that no clock but the
/// answerer's counts. `None` without the header, or with one that is neither.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let told = text(RETRY_AFTER)?;
    let wait = match told.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(told).ok()?;
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

    fn told(value: &str, date: Option<&str>) -> Option<u64> {
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
    fn seconds_and_dates_are_read() {
        assert_eq!(told("60", None), Some(60));
        assert_eq!(told(" 0 ", None), Some(0));
        assert_eq!(told("Sun, 06 Nov 1994 08:50:37 GMT", None), Some(60));
        assert_eq!(told("Sunday, 06-Nov-94 08:50:37 GMT", None), Some(60));
        assert_eq!(told("Sun Nov  6 08:50:37 1994", None), Some(60));
    }

    #[test]
    fn a_date_is_compared_with_the_answers_own() {
        let answered = Some("Mon, 07 Nov 1994 10:00:00 GMT");
        assert_eq!(told("Mon, 07 Nov 1994 10:00:30 GMT", answered), Some(30));
        assert_eq!(told("Mon, 07 Nov 1994 09:00:00 GMT", answered), Some(0));
        assert_eq!(
            told("Sun, 06 Nov 1994 08:50:37 GMT", Some("soon")),
            Some(60)
        );
    }

    #[test]
    fn it_is_an_hour_at_most_or_nothing() {
        assert_eq!(told("100000", None), Some(3600));
        assert_eq!(told("Fri, 06 Nov 2093 08:49:37 GMT", None), Some(3600));
        for text in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(told(text, None), None, "{text}");
        }
    }
}
