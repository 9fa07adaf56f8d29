//! Keeps passwords out of fault messages, also where the text could not be parsed.
//!
//! It works on plain lines, because a broken plan has no tree to tell what is a password.

use std::ops::Range;

const MASK: &str = "***";

/// The text with every password replaced.
pub(super) fn mask(text: &str) -> String {
    apply(text, &mask_ranges(text))
}

/// The byte ranges that hold passwords, ascending and disjoint.
pub(super) fn mask_ranges(line: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    ranges.extend(url_passwords(line));
    ranges.extend(named_passwords(line));
    ranges.sort_by_key(|r| r.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges.into_iter().filter(|r| !r.is_empty()) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Replaces the ranges.
pub(super) fn apply(line: &str, ranges: &[Range<usize>]) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut at = 0;
    for range in ranges {
        shown.push_str(&line[at..range.start]);
        shown.push_str(MASK);
        at = range.end;
    }
    shown.push_str(&line[at..]);
    shown
}

/// Where a byte of the line stands in the masked line, in characters.
pub(super) fn shifted(byte: usize, line: &str, ranges: &[Range<usize>]) -> usize {
    let mut column = 0;
    let mut at = 0;
    for range in ranges {
        if byte < range.end {
            return column + line[at..byte.min(range.start)].chars().count();
        }
        column += line[at..range.start].chars().count() + MASK.len();
        at = range.end;
    }
    column + line[at..byte].chars().count()
}

/// `scheme://user:PASSWORD@host`; the line's last `@` ends it, as passwords may hold anything.
/// Rather too much is hidden than too little.
fn url_passwords(line: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (scheme, _) in line.match_indices("://") {
        let start = scheme + 3;
        let rest = &line[start..];
        let Some(at) = rest.rfind('@') else { continue };
        if let Some(colon) = rest[..at].find(':') {
            ranges.push(start + colon + 1..start + at);
        }
    }
    ranges
}

/// `password: VALUE` and `password=VALUE`, unless the value is a reference (a mapping). A quoted
/// value ends with its quote, any other with the line.
fn named_passwords(line: &str) -> Vec<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let mut ranges = Vec::new();
    for word in
        ["password", "passwd", "secret", "pwd", "authorization", "token", "api-key", "api_key"]
    {
        for (found, _) in lower.match_indices(word) {
            let after = found + word.len();
            let rest = lower[after..].trim_start_matches(['"', '\'', ' ', '\t']);
            let Some(value) = rest.strip_prefix([':', '=']) else { continue };
            let value = value.trim_start();
            if value.starts_with(['{', '#', '/']) && rest.starts_with(':') {
                continue;
            }
            let start = lower.len() - value.len();
            let quote =
                value.chars().next().filter(|c| rest.starts_with(':') && "\"'".contains(*c));
            let end = quote
                .and_then(|quote| value[1..].rfind(quote).map(|close| close + 2))
                .unwrap_or(value.trim_end().len());
            ranges.push(start..start + end);
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_are_written() {
        for (line, shown) in [
            ("url: postgres://u:geheim@h/db", "url: postgres://u:***@h/db"),
            ("url: postgres://u:a@b:c d@h/db", "url: postgres://u:***@h/db"),
            ("url: postgres://u@h/db", "url: postgres://u@h/db"),
            ("  password: geheim", "  password: ***"),
            ("- {name: a, password: \"geheim\"}", "- {name: a, password: ***}"),
            ("password: {env: X}", "password: {env: X}"),
            ("postgres://h/db?password=geheim&x=1", "postgres://h/db?password=***"),
            ("upstreams: [http://a:1, http://b:2]", "upstreams: [http://a:1, http://b:2]"),
        ] {
            assert_eq!(mask(line), shown);
        }
    }

    #[test]
    fn a_place_behind_a_mask_moves_with_it() {
        let line = "x: a://u:geheim@h y";
        let ranges = mask_ranges(line);
        assert_eq!(apply(line, &ranges), "x: a://u:***@h y");
        assert_eq!(shifted(line.len() - 1, line, &ranges), 15);
        assert_eq!(shifted(3, line, &ranges), 3);
        assert_eq!(shifted(11, line, &ranges), 9);
    }
}
