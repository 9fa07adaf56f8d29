//! An HTTP request of ours and what its answer must be.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::json_path;
use crate::model::Against;
use crate::model::checks::{HttpExpect, HttpRequest, JsonExpect, StatusRange, Text, TextExpect};
use crate::node::Shape;
use crate::reader::{Field, Fields, Reader};

use super::{duration, environment};

pub(super) const AGAINST: &[(&str, Against)] =
    &[("source", Against::Source), ("target", Against::Target), ("gate", Against::Gate)];

/// What changes nothing (RFC 9110, 9.2.1), as far as a check needs it.
const SAFE: &[&str] = &["GET", "HEAD", "OPTIONS"];
const METHODS: &[(&str, &str)] = &[
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("OPTIONS", "OPTIONS"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
];
/// What frames the message or concerns one connection is ours to write.
const OURS: &[&str] =
    &["connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"];
/// What logs somebody in is never written in a plan.
const SECRET: &[&str] = &["authorization", "cookie", "proxy-authorization", "x-api-key"];
pub(super) const WITHIN: Duration = Duration::from_secs(10);
const BODY_MAX: usize = 64 * 1024;

/// The limits of a question's time.
pub(super) const WITHIN_LIMITS: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(600));

pub(super) fn against(fields: &mut Fields<'_>, usual: Against, reader: &mut Reader) -> Against {
    let field = fields.get("against");
    field.and_then(|field| reader.word(&field, AGAINST)).unwrap_or(usual)
}

/// How long a question may take.
pub(super) fn within(fields: &mut Fields<'_>, reader: &mut Reader) -> Duration {
    let field = fields.get("within");
    field.and_then(|field| duration(&field, WITHIN_LIMITS, reader)).unwrap_or(WITHIN)
}

/// A list of 1 to `most` items. Every one is read, so that every fault is found, before the first
/// one decides.
pub(super) fn list<T>(
    field: &Field<'_>,
    of: &str,
    most: usize,
    reader: &mut Reader,
    mut read: impl FnMut(&Field<'_>, &mut Reader) -> Option<T>,
) -> Option<Vec<T>> {
    let items = reader.list(field, of)?;
    if items.is_empty() || items.len() > most {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {most} {of}"));
    }
    let read: Vec<Option<T>> = items.iter().map(|item| read(item, reader)).collect();
    read.into_iter().collect()
}

/// `path`, `method`, `headers`, `body`, `unsafe`, `within`.
pub(super) fn request(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<HttpRequest> {
    let within = within(fields, reader);
    request_within(fields, within, reader)
}

/// [`request`] without `within`.
pub(super) fn request_within(
    fields: &mut Fields<'_>,
    within: Duration,
    reader: &mut Reader,
) -> Option<HttpRequest> {
    let expected = "a path like /health";
    let path = fields.need("path", expected, reader).and_then(|field| {
        let path = |t: &str| request_path(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, path)
    });
    let method_field = fields.get("method");
    let headers = fields.get("headers").map(|field| headers(&field, reader));
    let body_field = fields.get("body");
    let allowed = fields.get("unsafe").and_then(|field| reader.word(&field, &[("true", ())]));
    let method = match &method_field {
        Some(field) => reader.word(field, METHODS)?,
        None => "GET",
    };
    let body = body_field.as_ref().and_then(|field| body(field, reader));
    if let Some(field) = &method_field
        && !SAFE.contains(&method)
        && allowed.is_none()
    {
        let expected = "GET, HEAD or OPTIONS, or `unsafe: true` beside it";
        reader.bad(FaultKind::Contradiction, field, expected);
        reader.hint("a check changes nothing unless the plan says that it may");
    }
    if let Some(field) = &body_field
        && allowed.is_none()
    {
        reader.fault(
            FaultKind::Contradiction,
            field.place(),
            &field.path,
            "a body in a request that changes nothing",
            "no body, or `unsafe: true` beside it",
        );
    }
    let headers = headers.unwrap_or(Some(Vec::new()))?;
    Some(HttpRequest { method: method.to_owned(), path: path?, headers, body, within })
}

fn request_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 2000 && text.bytes().all(|b| b.is_ascii_graphic())
}

fn body(field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let expected = format!("a text of at most {BODY_MAX} bytes");
    let text = |t: &str| (t.len() <= BODY_MAX).then(|| t.to_owned());
    reader.parsed(field, FaultKind::WrongValue, &expected, text)
}

/// Names and values: `{accept: application/json, authorization: {env: TOKEN}}`.
fn headers(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<(String, Text)>> {
    let mut headers = Vec::new();
    for (key, field) in reader.pairs(field)? {
        let Some(name) = header_name(key, &field, reader) else { continue };
        if OURS.contains(&&*name) {
            reader.fault(
                FaultKind::WrongValue,
                field.place(),
                &field.path,
                format!("the header `{name}`, which frames the message"),
                "headers of the application",
            );
            continue;
        }
        let value = match &field.node.shape {
            Shape::Text(_) if SECRET.contains(&&*name) => {
                environment::secret(&field, &format!("the header `{name}`"), reader);
                None
            }
            Shape::Text(text) if header_value(text) => Some(Text::Plain(text.clone())),
            Shape::Map(_) => {
                environment::secret(&field, "a header's value", reader).map(Text::Secret)
            }
            _ => {
                let expected = "a text of printable ASCII, {env: NAME} or {file: PATH}";
                reader.bad(FaultKind::WrongValue, &field, expected);
                None
            }
        };
        headers.extend(value.map(|value| (name, value)));
    }
    Some(headers)
}

fn header_name(key: &str, field: &Field<'_>, reader: &mut Reader) -> Option<String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !key.is_empty() && key.len() <= 200 && key.bytes().all(token) {
        return Some(key.to_ascii_lowercase());
    }
    reader.fault(
        FaultKind::WrongValue,
        field.place(),
        &field.path,
        "something that is no header's name",
        "a name like content-type",
    );
    None
}

fn header_value(text: &str) -> bool {
    text.len() <= 4000 && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// `expect` and its short form `expect_status`; a status of 200 where neither is given.
pub(super) fn expect(fields: &mut Fields<'_>, reader: &mut Reader) -> Option<HttpExpect> {
    let short = fields.get("expect_status");
    let long = fields.get("expect");
    let ok = StatusRange { from: 200, to: 200 };
    let mut expect = HttpExpect {
        status: vec![ok],
        headers: Vec::new(),
        json: Vec::new(),
        contains: Vec::new(),
        below: None,
    };
    if let (Some(short), Some(_)) = (&short, &long) {
        let expected = "either `expect_status` or `expect: {status: …}`";
        reader.bad(FaultKind::Contradiction, short, expected);
        return None;
    }
    if let Some(field) = short {
        expect.status = statuses(&field, reader)?;
    }
    let Some(field) = long else { return Some(expect) };
    let mut fields = reader.map(&field)?;
    if let Some(field) = fields.get("status") {
        expect.status = statuses(&field, reader).unwrap_or_default();
    }
    if let Some(field) = fields.get("headers") {
        expect.headers = header_expectations(&field, reader).unwrap_or_default();
    }
    if let Some(field) = fields.get("json") {
        expect.json = json_expectations(&field, reader).unwrap_or_default();
    }
    if let Some(field) = fields.get("contains") {
        expect.contains = texts(&field, reader).unwrap_or_default();
    }
    if let Some(field) = fields.get("below") {
        expect.below = duration(&field, WITHIN_LIMITS, reader);
    }
    fields.done(&["schema", "tls"], reader);
    Some(expect)
}

/// `200`, `2xx`, or a list of them.
pub(super) fn statuses(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<StatusRange>> {
    let expected = "a status like 200, a class like 2xx, or a list of them";
    let one = |field: &Field<'_>, reader: &mut Reader| {
        reader.parsed(field, FaultKind::WrongValue, expected, status)
    };
    match &field.node.shape {
        Shape::List(_) => list(field, "statuses", 20, reader, one),
        _ => Some(vec![one(field, reader)?]),
    }
}

fn status(text: &str) -> Option<StatusRange> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(StatusRange { from: class * 100, to: class * 100 + 99 });
    }
    let code: u16 = text.parse().ok().filter(|code| (100..=599).contains(code))?;
    Some(StatusRange { from: code, to: code })
}

/// One text or a list of them.
fn texts(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<String>> {
    let one =
        |field: &Field<'_>, reader: &mut Reader| reader.text(field, "a text").map(str::to_owned);
    match &field.node.shape {
        Shape::List(_) => list(field, "texts", 50, reader, one),
        _ => Some(vec![one(field, reader)?]),
    }
}

fn header_expectations(
    field: &Field<'_>,
    reader: &mut Reader,
) -> Option<Vec<(String, TextExpect)>> {
    let mut expected = Vec::new();
    for (key, field) in reader.pairs(field)? {
        let Some(name) = header_name(key, &field, reader) else { continue };
        let Shape::Map(_) = &field.node.shape else {
            let text = reader.text(&field, "a text, {contains: …} or {exists: true}");
            expected.extend(text.map(|text| (name, TextExpect::Equals(text.to_owned()))));
            continue;
        };
        let mut fields = reader.map(&field)?;
        let (contains, exists) = (fields.get("contains"), fields.get("exists"));
        fields.done(&["matches"], reader);
        let value = match (contains, exists) {
            (Some(field), None) => {
                reader.text(&field, "a text").map(|text| TextExpect::Contains(text.to_owned()))
            }
            (None, Some(field)) => yes_or_no(&field, reader).map(TextExpect::Exists),
            _ => {
                let either = "one of `contains` and `exists`";
                reader.bad(FaultKind::Contradiction, &field, either);
                None
            }
        };
        expected.extend(value.map(|value| (name, value)));
    }
    Some(expected)
}

fn yes_or_no(field: &Field<'_>, reader: &mut Reader) -> Option<bool> {
    reader.word(field, &[("true", true), ("false", false)])
}

fn json_expectations(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<(String, JsonExpect)>> {
    let mut expected = Vec::new();
    for (key, field) in reader.pairs(field)? {
        if json_path::parse(key).is_none() {
            let found = format!("the path {}", crate::node::quoted(key));
            reader.fault(
                FaultKind::WrongValue,
                field.place(),
                &field.path,
                found,
                "a JSON path like $.items[0].name or $.items[*].id",
            );
            continue;
        }
        let value = json_expectation(&field, reader);
        expected.extend(value.map(|value| (key.to_owned(), value)));
    }
    Some(expected)
}

fn json_expectation(field: &Field<'_>, reader: &mut Reader) -> Option<JsonExpect> {
    match &field.node.shape {
        // An empty text is a value that one may expect.
        Shape::Text(text) => return Some(JsonExpect::Equals(text.clone())),
        Shape::Null => return Some(JsonExpect::Equals("null".to_owned())),
        Shape::Map(_) | Shape::List(_) => {}
    }
    let mut fields = reader.map(field)?;
    let exists = fields.get("exists");
    let length = fields.get("length");
    let at_least = fields.get("at_least");
    let at_most = fields.get("at_most");
    fields.done(&["matches", "contains"], reader);
    let mut number = |field: &Field<'_>| {
        let plain = |t: &str| t.parse::<f64>().ok().filter(|n| n.is_finite());
        reader.parsed(field, FaultKind::WrongType, "a number", plain)
    };
    match (exists, length, at_least, at_most) {
        (Some(field), None, None, None) => yes_or_no(&field, reader).map(JsonExpect::Exists),
        (None, Some(field), None, None) => {
            reader.number(&field, 0, 1_000_000_000).map(JsonExpect::Length)
        }
        (None, None, Some(field), None) => number(&field).map(JsonExpect::AtLeast),
        (None, None, None, Some(field)) => number(&field).map(JsonExpect::AtMost),
        _ => {
            let one = "a value, or one of `exists`, `length`, `at_least` and `at_most`";
            reader.bad(FaultKind::Contradiction, field, one);
            None
        }
    }
}
