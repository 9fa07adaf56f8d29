//! `smoke`: questions with known answers. They change nothing.

use crate::fault::FaultKind;
use crate::model::{Against, Expect, SmokeRequest, SmokeSql, Step};
use crate::reader::{Field, Fields, Reader};

const AGAINST: &[(&str, Against)] =
    &[("source", Against::Source), ("target", Against::Target), ("gate", Against::Gate)];
const CHECKS_MAX: usize = 200;

pub(super) fn read(
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    reader: &mut Reader,
) -> Option<Step> {
    let against_field = fields.get("against");
    let requests_field = fields.get("requests");
    let sql_field = fields.get("sql");
    let against = match against_field {
        Some(field) => reader.word(&field, AGAINST)?,
        None => Against::Target,
    };
    if requests_field.is_none() && sql_field.is_none() {
        let expected = "`requests`, `sql` or both: what to ask";
        reader.fault(FaultKind::Missing, field.place(), &field.path, "nothing to ask", expected);
        return None;
    }
    let requests = match requests_field {
        Some(field) => list(&field, "requests like {path: /health}", reader, |item, reader| {
            request(item, against, reader)
        })?,
        None => Vec::new(),
    };
    let sql = match sql_field {
        Some(field) => {
            let of = "queries like {query: \"select 1\", expect: {value: \"1\"}}";
            list(&field, of, reader, |item, reader| query(item, against, reader))?
        }
        None => Vec::new(),
    };
    Some(Step::Smoke { requests, sql, against })
}

fn list<T>(
    field: &Field<'_>,
    of: &str,
    reader: &mut Reader,
    mut read: impl FnMut(&Field<'_>, &mut Reader) -> Option<T>,
) -> Option<Vec<T>> {
    let items = reader.list(field, of)?;
    if items.is_empty() || items.len() > CHECKS_MAX {
        reader.bad(FaultKind::WrongValue, field, format!("1 to {CHECKS_MAX} {of}"));
    }
    // Every item is read, so that every fault is found, before the first one decides.
    let read: Vec<Option<T>> = items.iter().map(|item| read(item, reader)).collect();
    read.into_iter().collect()
}

fn against(fields: &mut Fields<'_>, usual: Against, reader: &mut Reader) -> Against {
    let field = fields.get("against");
    field.and_then(|field| reader.word(&field, AGAINST)).unwrap_or(usual)
}

fn request(field: &Field<'_>, usual: Against, reader: &mut Reader) -> Option<SmokeRequest> {
    let mut fields = reader.map(field)?;
    let expected = "a path like /health";
    let path = fields.need("path", expected, reader).and_then(|field| {
        let path = |t: &str| request_path(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, path)
    });
    let methods = [("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")];
    let method = match fields.get("method") {
        Some(field) => reader.word(&field, &methods),
        None => Some("GET"),
    };
    let status = match fields.get("expect_status") {
        Some(field) => reader.number(&field, 100, 599).and_then(|n| u16::try_from(n).ok()),
        None => Some(200),
    };
    let against = against(&mut fields, usual, reader);
    fields.done(&["body", "headers", "expect_body", "timeout"], reader);
    Some(SmokeRequest { method: method?.to_owned(), path: path?, expect_status: status?, against })
}

fn request_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 2000 && text.bytes().all(|b| b.is_ascii_graphic())
}

fn query(field: &Field<'_>, usual: Against, reader: &mut Reader) -> Option<SmokeSql> {
    let mut fields = reader.map(field)?;
    let query = fields
        .need("query", "an SQL query", reader)
        .and_then(|field| reader.text(&field, "an SQL query").map(str::to_owned));
    let expect = fields
        .need("expect", "`expect: {rows: N}` or `expect: {value: …}`", reader)
        .and_then(|field| expect(&field, reader));
    let against = against(&mut fields, usual, reader);
    fields.done(&["timeout"], reader);
    Some(SmokeSql { query: query?, expect: expect?, against })
}

fn expect(field: &Field<'_>, reader: &mut Reader) -> Option<Expect> {
    let mut fields = reader.map(field)?;
    let rows = fields.get("rows");
    let value = fields.get("value");
    fields.done(&[], reader);
    match (rows, value) {
        (Some(rows), None) => reader.number(&rows, 0, 1_000_000_000).map(Expect::Rows),
        (None, Some(value)) => reader
            .text(&value, "the text form of the value")
            .map(|text| Expect::Value(text.to_owned())),
        _ => {
            let expected = "either `rows` or `value`";
            reader.bad(FaultKind::Contradiction, field, expected);
            None
        }
    }
}
