//! `smoke`: questions with known answers, in the plan or in a file beside it.

use std::time::Duration;

use crate::fault::FaultKind;
use crate::model::checks::{Expect, Smoke, SmokeRequest, SmokeSql, SmokeTcp};
use crate::model::{Against, Step};
use crate::node::Shape;
use crate::reader::{Field, Fields, Reader};

use super::{ask, duration, on_fail};

const CHECKS_MAX: usize = 200;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Default)]
struct Questions {
    requests: Vec<SmokeRequest>,
    sql: Vec<SmokeSql>,
    tcp: Vec<SmokeTcp>,
}

pub(super) fn read(
    field: &Field<'_>,
    fields: &mut Fields<'_>,
    reader: &mut Reader,
) -> Option<Step> {
    let against = ask::against(fields, Against::Target, reader);
    let on_fail = on_fail::read(fields, reader);
    let (retries, retry_after) = retries(fields, reader);
    let own = questions(fields, against, reader);
    let included = fields.get("file").map(|file| {
        reader.include(&file, |root, reader| {
            let mut fields = reader.map(root)?;
            let questions = questions(&mut fields, against, reader);
            fields.done(&[], reader);
            questions
        })
    });
    let (own, included) = (own?, included.unwrap_or_else(|| Some(Questions::default()))?);
    let smoke = Smoke {
        requests: joined(included.requests, own.requests),
        sql: joined(included.sql, own.sql),
        tcp: joined(included.tcp, own.tcp),
        against,
        retries,
        retry_after,
        on_fail,
    };
    if smoke.requests.is_empty() && smoke.sql.is_empty() && smoke.tcp.is_empty() {
        let expected = "`requests`, `sql`, `tcp` or `file`: what to ask";
        reader.fault(FaultKind::Missing, field.place(), &field.path, "nothing to ask", expected);
        return None;
    }
    Some(Step::Smoke(smoke))
}

fn joined<T>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
    first.extend(second);
    first
}

/// `retries: 3`, or `retries: {times: 3, after: 2s}`.
fn retries(fields: &mut Fields<'_>, reader: &mut Reader) -> (u32, Duration) {
    let mut found = (0, RETRY_AFTER);
    let Some(field) = fields.get("retries") else { return found };
    let mut times = |field: &Field<'_>, reader: &mut Reader| {
        let number = reader.number(field, 0, 100).and_then(|n| u32::try_from(n).ok());
        found.0 = number.unwrap_or_default();
    };
    if matches!(field.node.shape, Shape::Map(_)) {
        let Some(mut fields) = reader.map(&field) else { return found };
        if let Some(field) = fields.need("times", "how often, like `times: 3`", reader) {
            times(&field, reader);
        }
        let limits = (Duration::from_millis(10), Duration::from_secs(600));
        if let Some(after) = fields.get("after").and_then(|f| duration(&f, limits, reader)) {
            found.1 = after;
        }
        fields.done(&[], reader);
    } else {
        times(&field, reader);
    }
    found
}

/// `requests`, `sql` and `tcp`.
fn questions(fields: &mut Fields<'_>, against: Against, reader: &mut Reader) -> Option<Questions> {
    let requests = fields.get("requests").map(|field| {
        ask::list(&field, "requests like {path: /health}", CHECKS_MAX, reader, |item, reader| {
            request(item, against, reader)
        })
    });
    let sql = fields.get("sql").map(|field| {
        let of = "queries like {query: \"select 1\", expect: {value: \"1\"}}";
        ask::list(&field, of, CHECKS_MAX, reader, |item, reader| query(item, against, reader))
    });
    let tcp = fields.get("tcp").map(|field| {
        let of = "addresses like {address: \"10.0.0.5:6379\", within: 2s}";
        ask::list(&field, of, CHECKS_MAX, reader, tcp)
    });
    Some(Questions {
        requests: requests.unwrap_or_else(|| Some(Vec::new()))?,
        sql: sql.unwrap_or_else(|| Some(Vec::new()))?,
        tcp: tcp.unwrap_or_else(|| Some(Vec::new()))?,
    })
}

fn request(field: &Field<'_>, usual: Against, reader: &mut Reader) -> Option<SmokeRequest> {
    let mut fields = reader.map(field)?;
    let request = ask::request(&mut fields, reader);
    let expect = ask::expect(&mut fields, reader);
    let against = ask::against(&mut fields, usual, reader);
    fields.done(&[], reader);
    let (request, expect) = (request?, expect?);
    let reads_body = !expect.json.is_empty() || !expect.contains.is_empty();
    if request.method == "HEAD" && reads_body {
        reader.fault(
            FaultKind::Contradiction,
            field.place(),
            &field.path,
            "expectations of a body in a HEAD request, whose answer has none",
            "`method: GET`, or no `json` and `contains`",
        );
    }
    Some(SmokeRequest { request, expect, against })
}

fn query(field: &Field<'_>, usual: Against, reader: &mut Reader) -> Option<SmokeSql> {
    let mut fields = reader.map(field)?;
    let query = fields
        .need("query", "an SQL query", reader)
        .and_then(|field| reader.text(&field, "an SQL query").map(str::to_owned));
    let expect = fields
        .need("expect", "`expect: {rows: N}`, `{value: …}` or `{table: [[…]]}`", reader)
        .and_then(|field| expect(&field, reader));
    let against = ask::against(&mut fields, usual, reader);
    let within = ask::within(&mut fields, reader);
    fields.done(&[], reader);
    Some(SmokeSql { query: query?, expect: expect?, against, within })
}

fn expect(field: &Field<'_>, reader: &mut Reader) -> Option<Expect> {
    let mut fields = reader.map(field)?;
    let rows = fields.get("rows");
    let value = fields.get("value");
    let table = fields.get("table");
    fields.done(&[], reader);
    match (rows, value, table) {
        (Some(rows), None, None) => reader.number(&rows, 0, 1_000_000_000).map(Expect::Rows),
        (None, Some(value), None) => reader
            .text(&value, "the text form of the value")
            .map(|text| Expect::Value(text.to_owned())),
        (None, None, Some(table)) => {
            let row = |item: &Field<'_>, reader: &mut Reader| row(item, reader);
            ask::list(&table, "rows like [1, alice]", CHECKS_MAX, reader, row).map(Expect::Table)
        }
        _ => {
            let expected = "one of `rows`, `value` and `table`";
            reader.bad(FaultKind::Contradiction, field, expected);
            None
        }
    }
}

fn row(field: &Field<'_>, reader: &mut Reader) -> Option<Vec<Option<String>>> {
    ask::list(field, "values in text form", CHECKS_MAX, reader, |item, reader| {
        match &item.node.shape {
            Shape::Null => Some(None),
            Shape::Text(text) => Some(Some(text.clone())),
            Shape::List(_) | Shape::Map(_) => {
                reader.bad(FaultKind::WrongType, item, "the text form of a value");
                None
            }
        }
    })
}

fn tcp(field: &Field<'_>, reader: &mut Reader) -> Option<SmokeTcp> {
    let mut fields = reader.map(field)?;
    let expected = "an address like 10.0.0.5:6379 or redis.internal:6379";
    let address = fields.need("address", expected, reader).and_then(|field| {
        let address = |t: &str| crate::address::connectable(t).then(|| t.to_owned());
        reader.parsed(&field, FaultKind::WrongValue, expected, address)
    });
    let within = ask::within(&mut fields, reader);
    fields.done(&[], reader);
    Some(SmokeTcp { address: address?, within })
}
