//! What an answer must be. Every expectation that is not met is told; no value that came is.

use std::time::Duration;

use changeover_plan::json_path;
use changeover_plan::{Expect, HttpExpect, JsonExpect, StatusRange, TextExpect};
use serde_json::Value;

use crate::http::Answer;
use crate::json;

/// What is wrong with an HTTP answer that took so long.
#[must_use]
pub fn http(expect: &HttpExpect, answer: &Answer, took: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    let status = answer.status.as_u16();
    if !meets(&expect.status, status) {
        wrong.push(format!("answered {status}, expected {}", show_statuses(&expect.status)));
    }
    for (name, expected) in &expect.headers {
        wrong.extend(header(name, expected, answer));
    }
    wrong.extend(body(expect, answer));
    if let Some(below) = expect.below.filter(|below| took >= *below) {
        wrong.push(format!("took {}, expected less than {}", show_ms(took), show_ms(below)));
    }
    wrong
}

/// Whether a status is one of those expected.
#[must_use]
pub fn meets(expected: &[StatusRange], status: u16) -> bool {
    expected.iter().any(|range| (range.from..=range.to).contains(&status))
}

fn show_statuses(expected: &[StatusRange]) -> String {
    let shown = expected.iter().map(|range| match range.to - range.from {
        0 => range.from.to_string(),
        _ => format!("{}xx", range.from / 100),
    });
    shown.collect::<Vec<_>>().join(" or ")
}

fn show_ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn header(name: &str, expected: &TextExpect, answer: &Answer) -> Option<String> {
    let values: Vec<&[u8]> = answer.headers.get_all(name).iter().map(|v| v.as_bytes()).collect();
    let found = match values.as_slice() {
        [] => "is not there".to_owned(),
        [one] => format!("is another text of {} bytes", one.len()),
        many => format!("is there {} times, each time another text", many.len()),
    };
    let within = |value: &[u8], part: &str| String::from_utf8_lossy(value).contains(part);
    let (met, wanted) = match expected {
        TextExpect::Equals(text) => (values.contains(&text.as_bytes()), format!("`{text}`")),
        TextExpect::Contains(part) => {
            (values.iter().any(|value| within(value, part)), format!("`{part}` within it"))
        }
        TextExpect::Exists(true) => (!values.is_empty(), "it there".to_owned()),
        TextExpect::Exists(false) => {
            let wrong = format!("header `{name}` is there, expected it not to be");
            return (!values.is_empty()).then_some(wrong);
        }
    };
    (!met).then(|| format!("header `{name}` {found}, expected {wanted}"))
}

fn body(expect: &HttpExpect, answer: &Answer) -> Vec<String> {
    if expect.json.is_empty() && expect.contains.is_empty() {
        return Vec::new();
    }
    let length = answer.body.len();
    if answer.cut_off {
        return vec![format!("the body is longer than the {length} bytes that a check reads")];
    }
    let mut wrong = Vec::new();
    if !expect.json.is_empty() {
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(root) => wrong.extend(expect.json.iter().filter_map(|(path, e)| at(&root, path, e))),
            Err(_) => wrong.push(format!("the body of {length} bytes is not JSON")),
        }
    }
    let text = String::from_utf8_lossy(&answer.body);
    for part in expect.contains.iter().filter(|part| !text.contains(&***part)) {
        wrong.push(format!("the body of {length} bytes does not contain `{part}`"));
    }
    wrong
}

/// What is wrong at one place of a document. Where the path leads to several, each must be right.
fn at(root: &Value, path: &str, expected: &JsonExpect) -> Option<String> {
    let Some(segments) = json_path::parse(path) else {
        return Some(format!("`{path}` is no JSON path"));
    };
    let found = json::select(root, &segments);
    match (expected, found.is_empty()) {
        (JsonExpect::Exists(wanted), none) if *wanted != none => return None,
        (JsonExpect::Exists(true), _) | (_, true) => {
            return Some(format!("`{path}` is not there, expected {}", wanted(expected)));
        }
        (JsonExpect::Exists(false), _) => {
            return Some(format!("`{path}` is there, expected it not to be"));
        }
        _ => {}
    }
    let wrong: Vec<&&Value> = found.iter().filter(|value| !is(value, expected)).collect();
    let first = wrong.first()?;
    let shape = json::shape(first);
    let which = match (wrong.len(), found.len()) {
        (_, 1) => format!("is {shape}"),
        (some, all) => format!("is wrong at {some} of {all} places, the first of which is {shape}"),
    };
    Some(format!("`{path}` {which}, expected {}", wanted(expected)))
}

fn is(value: &Value, expected: &JsonExpect) -> bool {
    match expected {
        JsonExpect::Equals(text) => json::scalar(value).as_ref() == Some(text),
        JsonExpect::Exists(wanted) => *wanted,
        JsonExpect::Length(length) => {
            let found = match value {
                Value::Array(items) => items.len(),
                Value::Object(members) => members.len(),
                Value::String(text) => text.chars().count(),
                Value::Null | Value::Bool(_) | Value::Number(_) => return false,
            };
            found as u64 == *length
        }
        JsonExpect::AtLeast(least) => value.as_f64().is_some_and(|number| number >= *least),
        JsonExpect::AtMost(most) => value.as_f64().is_some_and(|number| number <= *most),
    }
}

fn wanted(expected: &JsonExpect) -> String {
    match expected {
        JsonExpect::Equals(text) => format!("`{text}`"),
        JsonExpect::Exists(_) => "it there".to_owned(),
        JsonExpect::Length(length) => format!("a length of {length}"),
        JsonExpect::AtLeast(least) => format!("at least {least}"),
        JsonExpect::AtMost(most) => format!("at most {most}"),
    }
}

/// What is wrong with the rows that a query gave; `None` is NULL.
#[must_use]
pub fn rows(expect: &Expect, rows: &[Vec<Option<String>>]) -> Vec<String> {
    let count = rows.len();
    match expect {
        Expect::Rows(expected) if count as u64 == *expected => Vec::new(),
        Expect::Rows(expected) => vec![format!("gave {count} rows, expected {expected}")],
        Expect::Value(expected) => match rows {
            [row] if row.first().is_some_and(|value| value.as_ref() == Some(expected)) => {
                Vec::new()
            }
            [_] => vec![format!("gave another value than `{expected}`")],
            _ => vec![format!("gave {count} rows, expected one with `{expected}`")],
        },
        Expect::Table(expected) => table(expected, rows),
    }
}

fn table(expected: &[Vec<Option<String>>], found: &[Vec<Option<String>>]) -> Vec<String> {
    let mut wrong = Vec::new();
    if expected.len() != found.len() {
        wrong.push(format!("gave {} rows, expected {}", found.len(), expected.len()));
    }
    for (row, (expected, found)) in expected.iter().zip(found).enumerate() {
        if expected.len() != found.len() {
            let (row, found, expected) = (row + 1, found.len(), expected.len());
            wrong.push(format!("row {row} has {found} columns, expected {expected}"));
            continue;
        }
        for (column, _) in expected.iter().zip(found).enumerate().filter(|(_, (e, f))| e != f) {
            wrong.push(format!("row {}, column {} is another value", row + 1, column + 1));
        }
    }
    wrong
}

#[cfg(test)]
mod tests;
