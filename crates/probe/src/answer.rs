//! What an answer tells: pure.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use serde_json::Value;

/// How far the server's clock is ahead of ours, in milliseconds. A `Date` is a whole second, cut
/// off, so the server's time lay in `[date, date + 1 s)` when ours lay in `[before, after]`: the
/// least deviation that explains this.
pub(crate) fn skew_ms(date: &str, before_ms: i64, after_ms: i64) -> Option<i64> {
    let date = httpdate::parse_http_date(date).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let date = i64::try_from(date).ok()?;
    let (least, most) = (date - after_ms, date + 999 - before_ms);
    Some(if least > 0 {
        least
    } else if most < 0 {
        most
    } else {
        0
    })
}

/// This machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a health answer speaks of a database.
pub(crate) fn names_database(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_lowercase();
    ["database", "postgres", "\"db\""].iter().any(|word| text.contains(word))
}

/// A version of the service: a header, or a key of a JSON answer.
pub(crate) fn version(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let header = ["x-app-version", "x-service-version", "x-version"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok().map(str::to_owned));
    let key = || -> Option<String> {
        let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
        ["version", "app_version", "build", "commit", "revision"]
            .iter()
            .find_map(|name| answer.get(*name)?.as_str().map(str::to_owned))
    };
    let version = header.or_else(key)?;
    // A sane version is short; anything else is not repeated.
    (!version.is_empty() && version.len() <= 80 && version.chars().all(|c| c.is_ascii_graphic()))
        .then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Thu, 26 Nov 2026 14:00:00 GMT";
    const AT: i64 = 1_795_701_600_000;

    #[test]
    fn a_date_tells_the_least_deviation() {
        assert_eq!(skew_ms(DATE, AT + 400, AT + 420), Some(0), "within the second");
        assert_eq!(skew_ms(DATE, AT - 30, AT + 10), Some(0), "as it began");
        assert_eq!(skew_ms(DATE, AT - 3_000, AT - 2_900), Some(2_900), "ahead");
        assert_eq!(skew_ms(DATE, AT + 5_999, AT + 6_100), Some(-5_000), "behind");
        assert_eq!(skew_ms("yesterday", AT, AT), None);
    }

    #[test]
    fn versions_come_from_headers_or_the_answer() {
        let none = HeaderMap::new();
        assert_eq!(version(&none, br#"{"version": "1.4.2"}"#).as_deref(), Some("1.4.2"));
        assert_eq!(version(&none, b"ok"), None);
        assert_eq!(version(&none, br#"{"version": "a b\n"}"#), None);
        let mut headers = HeaderMap::new();
        headers.insert("x-app-version", "7".parse().unwrap());
        assert_eq!(version(&headers, b"").as_deref(), Some("7"));
    }

    #[test]
    fn a_health_answer_may_name_its_database() {
        assert!(names_database(br#"{"status":"ok","checks":{"db":"up"}}"#));
        assert!(names_database(b"Database: ok"));
        assert!(!names_database(b"ok"));
    }
}
