//! The reads of an access log, with the times between them as they were.

use std::collections::HashMap;
use std::time::Duration;

use changeover_plan::LogFormat;
use jiff::Timestamp;
use serde_json::Value;

/// More requests than this are not taken.
pub const REQUESTS_MAX: usize = 500_000;

/// What may be sent again without changing anything.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// A log as it is read, line by line.
#[derive(Debug)]
pub struct Log {
    format: LogFormat,
    entries: Vec<(i128, usize)>,
    requests: Vec<(String, String)>,
    known: HashMap<(String, String), usize>,
    /// Lines whose request may change something.
    pub unsafe_lines: u64,
    /// Lines that are none of the format.
    pub unreadable: u64,
    /// Whether there were more requests than are taken.
    pub cut_off: bool,
}

/// What is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// When each request is due, from the first one on; ascending.
    pub due: Vec<Duration>,
    /// Which request it is.
    pub which: Vec<usize>,
    /// Method and target of each.
    pub requests: Vec<(String, String)>,
}

impl Log {
    /// An empty one.
    #[must_use]
    pub fn new(format: LogFormat) -> Log {
        Log {
            format,
            entries: Vec::new(),
            requests: Vec::new(),
            known: HashMap::new(),
            unsafe_lines: 0,
            unreadable: 0,
            cut_off: false,
        }
    }

    /// Takes one line.
    pub fn line(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let read = match self.format {
            LogFormat::Common => common(line),
            LogFormat::Json => json(line),
        };
        let Some((at_ns, method, target)) = read else {
            self.unreadable += 1;
            return;
        };
        if !SAFE.contains(&&*method) {
            self.unsafe_lines += 1;
            return;
        }
        if self.entries.len() >= REQUESTS_MAX {
            self.cut_off = true;
            return;
        }
        let next = self.requests.len();
        let which = *self.known.entry((method.clone(), target.clone())).or_insert(next);
        if which == next {
            self.requests.push((method, target));
        }
        self.entries.push((at_ns, which));
    }

    /// What was taken, so many times as fast. Servers write a line when an answer ends, so lines
    /// are put in order first; those of a log that knows whole seconds only are spread over theirs.
    #[must_use]
    pub fn replay(mut self, times: f64) -> Replay {
        self.entries.sort_by_key(|(at, _)| *at);
        let mut at: Vec<i128> = self.entries.iter().map(|(at, _)| *at).collect();
        if at.iter().all(|at| at % NS == 0) {
            spread(&mut at);
        }
        let first = at.first().copied().unwrap_or_default();
        let due = |at: &i128| {
            let since_s = (at - first) as f64 / NS as f64;
            Duration::try_from_secs_f64(since_s / times).unwrap_or(Duration::MAX)
        };
        Replay {
            due: at.iter().map(due).collect(),
            which: self.entries.iter().map(|(_, which)| *which).collect(),
            requests: self.requests,
        }
    }
}

const NS: i128 = 1_000_000_000;

/// Spreads times of the same second evenly over it.
fn spread(at: &mut [i128]) {
    for second in at.chunk_by_mut(|a, b| a == b) {
        let count = i128::try_from(second.len()).unwrap_or(1);
        for (place, at) in (0..count).zip(second) {
            *at += NS * place / count;
        }
    }
}

type Read = (i128, String, String);

/// `host ident user [10/Oct/2026:13:55:36 +0200] "GET /path HTTP/1.1" 200 2326 …`
fn common(line: &str) -> Option<Read> {
    let (_, rest) = line.split_once('[')?;
    let (time, rest) = rest.split_once(']')?;
    let (_, rest) = rest.split_once('"')?;
    let (request, _) = rest.split_once('"')?;
    let at = Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", time).ok()?;
    let (method, target) = request_line(request)?;
    Some((at.as_nanosecond(), method, target))
}

/// An object with a time and a request, under the names that nginx, Caddy, Traefik, Envoy and
/// others give them; some put the request into an object of its own.
fn json(line: &str) -> Option<Read> {
    let root: Value = serde_json::from_str(line).ok()?;
    let inner = root.get("request").filter(|it| it.is_object()).unwrap_or(&root);
    let find =
        |names: &[&str]| names.iter().find_map(|name| inner.get(*name).or_else(|| root.get(*name)));
    let at = time(find(&[
        "time",
        "timestamp",
        "@timestamp",
        "ts",
        "time_iso8601",
        "msec",
        "start_time",
        "StartUTC",
        "time_local",
    ])?)?;
    if let Some(request) = root.get("request").and_then(Value::as_str) {
        let (method, target) = request_line(request)?;
        return Some((at, method, target));
    }
    let method = find(&["method", "request_method", "RequestMethod", "verb"])?.as_str()?;
    let target = find(&["path", "uri", "request_uri", "RequestPath", "url", "target"])?.as_str()?;
    Some((at, method.to_owned(), self::target(target)?))
}

fn time(value: &Value) -> Option<i128> {
    if let Some(seconds) = value.as_f64() {
        // Seconds, or milliseconds if that would be a far future.
        let seconds = if seconds > 1e11 { seconds / 1000.0 } else { seconds };
        return Timestamp::from_millisecond((seconds * 1000.0) as i64)
            .ok()
            .map(|at| at.as_nanosecond());
    }
    let text = value.as_str()?;
    let parsed = text.parse::<Timestamp>().ok();
    let parsed = parsed.or_else(|| Timestamp::strptime("%d/%b/%Y:%H:%M:%S %z", text).ok());
    match parsed {
        Some(at) => Some(at.as_nanosecond()),
        None => time(&Value::from(text.parse::<f64>().ok()?)),
    }
}

/// `GET /path HTTP/1.1`
fn request_line(text: &str) -> Option<(String, String)> {
    let mut words = text.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
    is_method.then_some(())?;
    Some((method.to_owned(), self::target(target)?))
}

/// A path with its query; of an absolute URL only that part.
fn target(text: &str) -> Option<String> {
    let path = match text.split_once("://") {
        Some((_, rest)) if !text.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => text,
    };
    let fit = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    fit.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: LogFormat, lines: &str) -> Log {
        let mut log = Log::new(format);
        lines.lines().for_each(|line| log.line(line));
        log
    }

    #[test]
    fn reads_of_a_combined_log_at_twice_its_rate() {
        let log = read(
            LogFormat::Common,
            r#"10.0.0.1 - - [10/Oct/2026:13:55:36 +0200] "GET /a?x=1 HTTP/1.1" 200 23 "-" "curl"
            10.0.0.1 - bob [10/Oct/2026:13:55:40 +0200] "HEAD /b HTTP/1.1" 200 0 "-" "a [b] c"
            10.0.0.1 - - [10/Oct/2026:11:55:38 +0000] "POST /pay HTTP/1.1" 200 0 "-" "-"
            10.0.0.1 - - [10/Oct/2026:13:55:36 +0200] "GET /a?x=1 HTTP/1.1" 200 23 "-" "curl"
            10.0.0.1 - - [10/Oct/2026:13:55:38 +0200] "GET http://shop/c HTTP/1.1" 200 0 "-" "-"
            10.0.0.1 - - [10/Oct/2026:13:55:38 +0200] "\x16\x03\x01" 400 0 "-" "-"
            nonsense"#,
        );
        assert_eq!((log.unsafe_lines, log.unreadable, log.cut_off), (1, 2, false));
        let replay = log.replay(2.0);
        let ms: Vec<u128> = replay.due.iter().map(Duration::as_millis).collect();
        // The two of the first second are spread over it.
        assert_eq!(ms, [0, 250, 1000, 2000]);
        assert_eq!(replay.which, [0, 0, 2, 1]);
        let first = ("GET".to_owned(), "/a?x=1".to_owned());
        assert_eq!((replay.requests.len(), &replay.requests[0]), (3, &first));
        assert_eq!(replay.requests[2].1, "/c");
    }

    #[test]
    fn json_logs_of_several_servers() {
        let log = read(
            LogFormat::Json,
            r#"{"time_iso8601": "2026-10-10T13:55:36.5+02:00", "request": "GET /n HTTP/1.1"}
            {"ts": 1791633337.25, "request": {"method": "GET", "uri": "/caddy?a"}}
            {"StartUTC": "2026-10-10T11:55:38.75Z", "RequestMethod": "GET", "RequestPath": "/t"}
            {"start_time": "2026-10-10T11:55:39Z", "method": "DELETE", "path": "/e"}
            {"msec": "1791633339.000", "request_method": "GET", "request_uri": "/m"}
            {"method": "GET"}
            []"#,
        );
        assert_eq!((log.unsafe_lines, log.unreadable), (1, 2));
        let replay = log.replay(1.0);
        let targets: Vec<&str> =
            replay.which.iter().map(|which| &*replay.requests[*which].1).collect();
        assert_eq!(targets, ["/n", "/caddy?a", "/t", "/m"]);
        let ms: Vec<u128> = replay.due.iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [0, 750, 2250, 2500]);
    }
}
