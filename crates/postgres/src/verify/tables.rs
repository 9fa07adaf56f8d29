//! One table: digest, buckets, rows.

use changeover_types::TableName;

use super::sql::{Column, Encoding, Form, Generated, LARGE, Subject, bucket_count, columns};
use super::{Pair, TableReport, VerifyReport};
use crate::error::{Error, Result};
use crate::session::{Row, Rows, Session};

/// How many keys are read at once from each side.
const FETCH: &str = "FETCH 5000 FROM changeover_verify";

/// What is compared of a table: the columns must be the same on both sides, the key is the
/// source's. A key with a generated column is none: the row is found by what was written.
pub(super) async fn subject(pair: &mut Pair<'_>, name: &TableName) -> Result<Subject> {
    let (source, target) = pair.both(&columns(name)).await?;
    for (side, rows) in [(pair.source.side(), &source), (pair.target.side(), &target)] {
        if rows.is_empty() {
            return Err(Error::divergence(side, format!("{name} is not there")));
        }
    }
    let encoding = Encoding::of(&encoding(pair.source), &encoding(pair.target));
    let subject = of_rows(name, &source, encoding)?;
    let named = |rows: &Rows| -> Vec<String> {
        rows.iter().filter_map(|row| row.get(0)).map(str::to_owned).collect()
    };
    let (ours, theirs) = (named(&source), named(&target));
    if ours != theirs {
        return Err(Error::divergence(
            pair.target.side(),
            format!(
                "the source has the columns {} and the target {}",
                ours.join(", "),
                theirs.join(", ")
            ),
        ));
    }
    Ok(subject)
}

fn encoding(session: &Session) -> String {
    session.parameter("server_encoding").unwrap_or_default().to_owned()
}

fn of_rows(name: &TableName, rows: &Rows, encoding: Encoding) -> Result<Subject> {
    let mut subject = Subject {
        name: name.clone(),
        columns: Vec::new(),
        key: Vec::new(),
        encoding,
        large: LARGE,
    };
    for row in rows.iter().filter(|row| row.get(0).is_some()) {
        let column = column(row)?;
        if row.text(1)? == "t" {
            subject.key.push(column.clone());
        }
        subject.columns.push(column);
    }
    if subject.key.iter().any(|column| column.generated.is_some()) {
        subject.key.clear();
    }
    Ok(subject)
}

/// The first query of a comparison, as it is run on this side; the other side has this encoding.
pub(crate) async fn digest_of(
    session: &mut Session,
    name: &TableName,
    other_encoding: &str,
) -> Result<String> {
    let rows = session.query(&columns(name)).await?;
    let encoding = Encoding::of(&encoding(session), other_encoding);
    Ok(of_rows(name, &rows, encoding)?.digest())
}

fn column(row: &Row) -> Result<Column> {
    Ok(Column {
        name: row.text(0)?.to_owned(),
        form: match row.text(2)? {
            "bytes" => Form::Bytes,
            "text" => Form::Text,
            "wide" => Form::Wide,
            _ => Form::Plain,
        },
        generated: row.get(3).map(|expression| Generated {
            expression: expression.to_owned(),
            by: row.get(4).map(str::to_owned),
        }),
    })
}

/// Compares one table and adds its differences to the report.
pub(super) async fn compare(
    pair: &mut Pair<'_>,
    subject: &Subject,
    report: &mut VerifyReport,
) -> Result<TableReport> {
    let (source, target) = digests(pair, subject).await?;
    let equal = source == target;
    if !equal {
        // What was written, and apart from it what each side computed from that.
        let written = subject.written();
        differences(pair, &written, |key, source, target| {
            report.list(&written, key, source, target);
        })
        .await?;
        for column in subject.generated() {
            let mut rows = 0;
            differences(pair, &subject.computed(column), |_, source, target| {
                // A row that one side has not is listed already.
                rows += if source == target { source } else { 0 };
            })
            .await?;
            report.list_generated(&subject.name, column, rows);
        }
    }
    Ok(TableReport { name: subject.name.clone(), rows: source.0, equal })
}

/// Calls `found` with the form of each key whose rows differ, and with how many rows have it on
/// the source and on the target.
async fn differences(
    pair: &mut Pair<'_>,
    subject: &Subject,
    found: impl FnMut(&str, u64, u64) + Send,
) -> Result<()> {
    let (source, target) = digests(pair, subject).await?;
    if source == target {
        return Ok(());
    }
    let buckets = bucket_count(source.0.max(target.0));
    let wanted = differing_buckets(pair, subject, buckets).await?;
    rows(pair, subject, buckets, &wanted, found).await
}

/// Count and two sums.
type Digest = (u64, String, String);

async fn digests(pair: &mut Pair<'_>, subject: &Subject) -> Result<(Digest, Digest)> {
    let (source, target) = pair.both(&subject.digest()).await?;
    Ok((digest(source.first())?, digest(target.first())?))
}

fn digest(row: Option<&Row>) -> Result<Digest> {
    match row {
        Some(row) => Ok((row.parse(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned())),
        None => Ok((0, "0".to_owned(), "0".to_owned())),
    }
}

async fn differing_buckets(
    pair: &mut Pair<'_>,
    subject: &Subject,
    buckets: u32,
) -> Result<Vec<u32>> {
    let (source, target) = pair.both(&subject.buckets(buckets)).await?;
    let read = |row: Row| -> Result<(u32, [String; 3])> {
        let text = |n: usize| row.text(n).map(str::to_owned);
        Ok((row.parse(0)?, [text(1)?, text(2)?, text(3)?]))
    };
    let mut of: std::collections::BTreeMap<u32, [String; 3]> =
        source.into_iter().map(read).collect::<Result<_>>()?;
    let mut differing = Vec::new();
    for row in target {
        let (bucket, sums) = read(row)?;
        if of.remove(&bucket).as_ref() != Some(&sums) {
            differing.push(bucket);
        }
    }
    differing.extend(of.into_keys());
    differing.sort_unstable();
    Ok(differing)
}

/// A sorted run of keys from one side.
struct Keys<'a> {
    session: &'a mut Session,
    rows: std::vec::IntoIter<Row>,
    head: Option<Row>,
    done: bool,
}

impl Keys<'_> {
    async fn advance(&mut self) -> Result<()> {
        self.head = self.rows.next();
        if self.head.is_none() && !self.done {
            self.rows = self.session.query(FETCH).await?.into_iter();
            self.head = self.rows.next();
            self.done = self.head.is_none();
        }
        Ok(())
    }

    async fn open<'a>(session: &'a mut Session, cursor: &str) -> Result<Keys<'a>> {
        session.query(cursor).await?;
        let mut keys = Keys { session, rows: Vec::new().into_iter(), head: None, done: false };
        keys.advance().await?;
        Ok(keys)
    }
}

/// Merges the two sorted runs of keys; memory is bounded whatever differs.
async fn rows(
    pair: &mut Pair<'_>,
    subject: &Subject,
    buckets: u32,
    wanted: &[u32],
    mut differs: impl FnMut(&str, u64, u64) + Send,
) -> Result<()> {
    let cursor = subject.cursor(buckets, wanted);
    let mut source = Keys::open(pair.source, &cursor).await?;
    let mut target = Keys::open(pair.target, &cursor).await?;
    loop {
        let order = match (&source.head, &target.head) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            // Both servers sorted by bytes, and so does Rust.
            (Some(s), Some(t)) => s.text(0)?.cmp(t.text(0)?),
        };
        let (mut found, mut key) = ((0, None), None);
        if order.is_le()
            && let Some(row) = &source.head
        {
            (found.0, key) = (row.parse(1)?, Some(row.text(0)?.to_owned()));
        }
        if order.is_ge()
            && let Some(row) = &target.head
        {
            found.1 = Some(row.parse::<u64>(1)?);
            key = Some(row.text(0)?.to_owned());
        }
        let same = order.is_eq() && same(source.head.as_ref(), target.head.as_ref());
        if !same && let Some(key) = key {
            differs(&key, found.0, found.1.unwrap_or(0));
        }
        if order.is_le() {
            source.advance().await?;
        }
        if order.is_ge() {
            target.advance().await?;
        }
    }
    pair.both("CLOSE changeover_verify").await?;
    Ok(())
}

fn same(source: Option<&Row>, target: Option<&Row>) -> bool {
    match (source, target) {
        (Some(s), Some(t)) => (1..4).all(|n: usize| s.get(n) == t.get(n)),
        _ => false,
    }
}
